use holdfast_wire::{KeyStatus, KeysRequest};

use super::blocks::answer_statuses;
use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Bytes that one report may make the node look at; it answers busy for the keys beyond.
const CHECK_BYTES_MAX: u64 = 4 << 20;

/// Looks at blocks that a caller found wrong: `Corrupt` where the node agrees and has dropped
/// the block, `Miss` where there was nothing to drop.
pub(crate) fn report(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    let spec = session.space(context.shared, keys.space)?;
    let checked_max = (CHECK_BYTES_MAX / u64::from(spec.block_bytes.max(1))).max(1) as usize;
    let engine = &context.shared.engine;
    let counters = context.counters;
    let statuses = keys.ids.iter().enumerate().map(|(index, id)| {
        if index >= checked_max {
            KeyStatus::Busy
        } else if engine.drop_if_corrupt(keys.space, id, keys.argument) {
            counters.keys_corrupt_stored.add(1);
            KeyStatus::Corrupt
        } else {
            KeyStatus::Miss
        }
    });
    answer_statuses(exchange, request, statuses, context);
    Ok(())
}
