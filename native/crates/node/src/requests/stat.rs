use holdfast_wire::{KeyStatus, KeysRequest, StatAnswer, StatEntry};

use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Answers what the engine knows of blocks, without using them.
pub(crate) fn stat(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    session.space(context.shared, keys.space)?;
    let mut found = Vec::with_capacity(keys.ids.len());
    let now_ms = context.now_ms();
    context
        .shared
        .engine
        .stat(keys.space, keys.ids, now_ms, &mut found);
    let mut body = exchange.outgoing.buffer();
    for stat in found {
        let entry = match stat {
            Some(stat) => StatEntry {
                status: KeyStatus::Hit,
                position_class: stat.position_class,
                touches: stat.touches,
                pinned: stat.pinned,
                crc: stat.crc,
                write_id: stat.write_id,
                age_ms: stat.age_ms,
            },
            None => StatEntry {
                status: KeyStatus::Miss,
                position_class: 0,
                touches: 0,
                pinned: false,
                crc: 0,
                write_id: 0,
                age_ms: 0,
            },
        };
        StatAnswer::push(&mut body, &entry);
    }
    exchange.answer(request.ends, &body, context);
    exchange.outgoing.recycle(body);
    Ok(())
}
