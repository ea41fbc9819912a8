use holdfast_wire::{AnswerStatus, BindRequest};

use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::{Denied, Session};

/// Makes a space usable on the connection, or renews a ticket.
pub(crate) fn bind(
    exchange: &mut Exchange,
    session: &mut Session,
    request: &Request<'_>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let bind = BindRequest::decode(request.body)?;
    let shared = context.shared;
    let ticket = shared
        .verifier()
        .verify(&bind.ticket, shared.clock.wall_s())
        .map_err(|error| Denied::new(AnswerStatus::Unauthenticated, error.to_string()))?;
    session.bind(shared, &ticket)?;
    exchange.answer(request.ends, &[], context);
    Ok(())
}
