use holdfast_wire::{KeyStatus, PutDone};

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
