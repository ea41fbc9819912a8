use holdfast_engine::PinnedBlock;
use holdfast_wire::limits::PAYLOAD_BYTES_MAX;
use holdfast_wire::{
    BlockAnswer, BlockId, GetAnswer, Header, KeyStatus, KeysRequest, Kind, TransportKind,
};

use super::locate::locate;
use crate::budget::Charge;
use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Answers blocks: on a stream as payload out of the arena, over shared memory as places.
pub(crate) fn get(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    session.check_readable(context.shared, keys.space)?;
    match session.transport {
        TransportKind::SharedMemory => locate(exchange, session, request, &keys, context),
        TransportKind::Tcp => stream(exchange, session, request, &keys, context),
    }
    Ok(())
}

fn stream(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    keys: &KeysRequest<'_>,
    context: &mut Context<'_>,
) {
    let mut found = std::mem::take(&mut context.scratch.blocks);
    let engine = &context.shared.engine;
    engine.get(keys.space, keys.ids, context.now_ms(), &mut found);
    let hits = found.iter().flatten().count();
    let block_bytes = found
        .iter()
        .flatten()
        .next()
        .map_or(0, PinnedBlock::block_bytes);
    let mut charge = Charge::none(&session.pins, &session.tenant.pins);
    let fitting = (PAYLOAD_BYTES_MAX as usize).checked_div(block_bytes);
    let taken = charge.take(block_bytes as u64, hits.min(fitting.unwrap_or(0)));
    let copies = session.copies(keys.space);
    let mut body = exchange.outgoing.buffer();
    let mut blocks = Vec::with_capacity(taken);
    let mut excess = Vec::new();
    for (id, block) in keys.ids.iter().zip(found.drain(..)) {
        let answer = match block {
            Some(block) if blocks.len() < taken => {
                let (crc, write_id) = (block.crc(), block.write_id());
                blocks.push(block);
                entry(KeyStatus::Hit, crc, write_id)
            }
            Some(block) => {
                excess.push(block);
                entry(KeyStatus::Busy, 0, 0)
            }
            None => entry(absent(id, copies, request.header, context), 0, 0),
        };
        GetAnswer::push(&mut body, &answer);
    }
    context.scratch.blocks = found;
    let counters = context.counters;
    counters.keys_hit.add(blocks.len() as u64);
    counters.keys_busy.add(excess.len() as u64);
    counters.keys_missed.add((keys.ids.len() - hits) as u64);
    if !excess.is_empty() {
        engine.release_batch(excess);
    }
    let mut header = Header::new(Kind::GetAnswer, request.header.request);
    header.payload_bytes = (blocks.len() * block_bytes) as u64;
    header.epoch = context.epoch();
    exchange
        .outgoing
        .push_blocks(&header, &body, blocks, charge, request.ends);
    exchange.outgoing.recycle(body);
}

fn entry(status: KeyStatus, crc: u32, write_id: u32) -> BlockAnswer {
    BlockAnswer {
        status,
        crc,
        write_id,
    }
}

/// What a block that is not here is: a caller with an older map than this node's is told when
/// its group belongs to somebody else by now.
pub(super) fn absent(
    id: &BlockId,
    copies: u8,
    request: &Header,
    context: &Context<'_>,
) -> KeyStatus {
    let route = context.shared.route();
    if request.epoch < route.epoch() && !route.owns(id, copies) {
        KeyStatus::NotOwner
    } else {
        KeyStatus::Miss
    }
}
