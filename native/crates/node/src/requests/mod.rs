//! One file an operation: each checks its request's right to be done, calls the engine once and
//! queues the answer.

use std::os::fd::OwnedFd;

use holdfast_wire::{AnswerStatus, Kind};

use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::{Denied, Session};

mod admit;
mod bind;
mod blocks;
mod delete;
mod exists;
mod get;
mod hello;
mod list;
mod locate;
mod offer;
mod pin;
mod put;
mod report;
mod stat;

pub(crate) use hello::hello;

/// Does one request of an open connection, or begins it. `descriptor` hands out the next one
/// that arrived with the connection's bytes.
pub(crate) fn dispatch(
    exchange: &mut Exchange,
    session: &mut Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
    descriptor: impl FnOnce() -> Option<OwnedFd>,
) -> Result<(), Failure> {
    match request.header.kind {
        Kind::Bind => bind::bind(exchange, session, request, context),
        Kind::Exists => exists::exists(exchange, session, request, context),
        Kind::Get => get::get(exchange, session, request, context),
        Kind::Put => put::put(exchange, session, request, context),
        Kind::PutOffered => put::put_offered(exchange, session, request, context),
        Kind::Delete => delete::delete(exchange, session, request, context),
        Kind::Pin => pin::pin(exchange, session, request, context),
        Kind::Stat => stat::stat(exchange, session, request, context),
        Kind::Report => report::report(exchange, session, request, context),
        Kind::List => list::list(exchange, session, request, context),
        Kind::Offer => offer::offer(exchange, session, request, context, descriptor()),
        Kind::Withdraw => offer::withdraw(exchange, session, request, context),
        Kind::Ping => {
            exchange.answer(request.ends, &[], context);
            Ok(())
        }
        kind => Err(Failure::Malformed(Denied::new(
            AnswerStatus::Malformed,
            format!("{kind:?} is no request of an open connection"),
        ))),
    }
}
