use holdfast_engine::BlockLocation;
use holdfast_wire::{
    Header, KeyStatus, KeysRequest, Kind, LocatedAnswer, LocatedBlock, ViewAnnounce,
};

use super::get::absent;
use crate::connection::Context;
use crate::exchange::{Exchange, Request};
use crate::session::{Caller, Session};

/// Answers where blocks lie in memory that the caller may map, telling it of that memory first.
pub(super) fn locate(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    keys: &KeysRequest<'_>,
    context: &mut Context<'_>,
) {
    let mut locations = std::mem::take(&mut context.scratch.locations);
    let engine = &context.shared.engine;
    engine.locate(keys.space, keys.ids, context.now_ms(), &mut locations);
    let mut body = exchange.outgoing.buffer();
    let mut hits = 0;
    let copies = session.copies(keys.space);
    for (id, location) in keys.ids.iter().zip(locations.drain(..)) {
        let block = match location {
            Some(location) if announce(exchange, session, &location, context) => {
                hits += 1;
                LocatedBlock {
                    status: KeyStatus::Hit,
                    crc: location.crc,
                    write_id: location.write_id,
                    view: location.view,
                    offset: location.offset,
                }
            }
            _ => LocatedBlock {
                status: absent(id, copies, request.header, context),
                crc: 0,
                write_id: 0,
                view: 0,
                offset: 0,
            },
        };
        LocatedAnswer::push(&mut body, &block);
    }
    context.scratch.locations = locations;
    context.counters.keys_hit.add(hits);
    context
        .counters
        .keys_missed
        .add(keys.ids.len() as u64 - hits);
    exchange.answer_as(Kind::Located, request.ends, &body, context);
    exchange.outgoing.recycle(body);
}

/// Queues what the caller must know to find a location; false when it is there no longer.
fn announce(
    exchange: &mut Exchange,
    session: &Session,
    location: &BlockLocation,
    context: &Context<'_>,
) -> bool {
    let Caller::Tenant(tenant) = session.caller else {
        return false; // Nodes do not get this transport.
    };
    let engine = &context.shared.engine;
    let Ok(news) = exchange.views.announce(engine, tenant, location) else {
        return false;
    };
    let Some(announcement) = news else {
        return true;
    };
    if let Some(view) = announcement.retired {
        exchange.announce_retired(view, context);
    }
    let mut body = exchange.outgoing.buffer();
    let view = ViewAnnounce {
        view: location.view,
        bytes: engine.extent_bytes(),
    };
    view.encode(&mut body);
    let mut header = Header::new(Kind::View, 0);
    header.epoch = context.epoch();
    exchange
        .outgoing
        .push_descriptor(&header, &body, announcement.descriptor);
    exchange.outgoing.recycle(body);
    true
}
