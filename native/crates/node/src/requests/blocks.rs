use holdfast_wire::{BlockId, KeyStatus, PutDone};

use crate::connection::Context;
use crate::exchange::{Exchange, Request};

/// Answers one status a key.
pub(super) fn answer_statuses(
    exchange: &mut Exchange,
    request: &Request<'_>,
    statuses: impl Iterator<Item = KeyStatus>,
    context: &Context<'_>,
) {
    let mut body = exchange.outgoing.buffer();
    for status in statuses {
        PutDone::push(&mut body, status);
    }
    exchange.answer(request.ends, &body, context);
    exchange.outgoing.recycle(body);
}

/// `Hit` for what was done, `Miss` for what was not there.
pub(super) fn done(found: bool) -> KeyStatus {
    if found {
        KeyStatus::Hit
    } else {
        KeyStatus::Miss
    }
}

/// The ids whose groups this node owns, and for each id of the request whether it is among them.
pub(super) fn split_owned(ids: &[BlockId], context: &Context<'_>) -> (Vec<BlockId>, Vec<bool>) {
    let route = context.shared.route();
    let owned: Vec<bool> = ids.iter().map(|id| route.owns(id)).collect();
    let kept = ids.iter().zip(&owned).filter(|(_, owned)| **owned);
    (kept.map(|(id, _)| *id).collect(), owned)
}
