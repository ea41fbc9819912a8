use holdfast_wire::{EXISTS_TOUCHES, KeysRequest, bitmap_set};

use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Answers a bitmap of what is stored. Blocks of groups that have moved away are still found.
/// A caller that has read them elsewhere says so, and they count as read here as well.
pub(crate) fn exists(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    session.space(context.shared, keys.space)?;
    let mut found = std::mem::take(&mut context.scratch.found);
    found.clear();
    found.resize(keys.ids.len(), false);
    let engine = &context.shared.engine;
    let touches = keys.argument == EXISTS_TOUCHES;
    match touches {
        true => engine.touch(keys.space, keys.ids, context.now_ms(), &mut found),
        false => engine.exists(keys.space, keys.ids, context.now_ms(), &mut found),
    }
    let mut bitmap = exchange.outgoing.buffer();
    bitmap.resize(found.len().div_ceil(8), 0);
    let mut hits = 0;
    for (index, _) in found.iter().enumerate().filter(|(_, found)| **found) {
        bitmap_set(&mut bitmap, index);
        hits += 1;
    }
    if !touches {
        context.counters.keys_hit.add(hits);
        context.counters.keys_missed.add(found.len() as u64 - hits);
    }
    context.scratch.found = found;
    exchange.answer(request.ends, &bitmap, context);
    exchange.outgoing.recycle(bitmap);
    Ok(())
}
