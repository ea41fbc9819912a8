use holdfast_wire::{KeyStatus, KeysRequest};

use super::blocks::{answer_statuses, done, split_owned};
use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Removes blocks. Those being read stay where they are until they are read.
pub(crate) fn delete(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    session.space(context.shared, keys.space)?;
    let (ids, owned) = split_owned(keys.ids, context);
    let mut found = vec![false; ids.len()];
    context.shared.engine.delete(keys.space, &ids, &mut found);
    let mut found = found.into_iter();
    let statuses = owned.into_iter().map(|owned| {
        if owned {
            done(found.next().unwrap_or(false))
        } else {
            KeyStatus::NotOwner
        }
    });
    answer_statuses(exchange, request, statuses, context);
    Ok(())
}
