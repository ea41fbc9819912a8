use holdfast_wire::{KeyStatus, KeysRequest};

use super::blocks::{answer_statuses, done};
use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Removes blocks. Those being read stay where they are until they are read.
///
/// A previous owner removes what it still holds, or the block would be read there and taken over
/// from there. Only a caller that knows of the move is told so: any other has to ask the owner.
pub(crate) fn delete(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    session.space(context.shared, keys.space)?;
    let shared = context.shared;
    let (until_ms, now_ms) = (request.ends.expires_ms, context.now_ms());
    shared.removals.note(keys.space, keys.ids, until_ms, now_ms);
    let mut found = vec![false; keys.ids.len()];
    shared.engine.delete(keys.space, keys.ids, &mut found);
    // Looked at when the blocks are gone: a group that is still owned has not been listed by its
    // next owner yet.
    let route = shared.route();
    let copies = session.copies(keys.space);
    let knows_route = request.header.epoch >= route.epoch();
    let statuses = keys.ids.iter().zip(found).map(|(id, found)| {
        if route.owns(id, copies) || (found && knows_route) {
            done(found)
        } else {
            KeyStatus::NotOwner
        }
    });
    answer_statuses(exchange, request, statuses, context);
    Ok(())
}
