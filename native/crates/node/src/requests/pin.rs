use holdfast_wire::KeysRequest;

use super::blocks::{answer_statuses, done};
use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::Session;

/// Longest pin, milliseconds; what is asked beyond is cut to it.
const PIN_MS_MAX: u32 = 3_600_000;

/// Keeps blocks against eviction for a while; 0 milliseconds ends that. `Miss` also where the
/// tenant holds as much as it may.
pub(crate) fn pin(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let keys = KeysRequest::decode(request.body)?;
    session.space(context.shared, keys.space)?;
    let now_ms = context.now_ms();
    let until_ms = match keys.argument {
        0 => 0,
        duration_ms => now_ms + u64::from(duration_ms.min(PIN_MS_MAX)),
    };
    let mut found = vec![false; keys.ids.len()];
    context
        .shared
        .engine
        .pin(keys.space, keys.ids, until_ms, now_ms, &mut found);
    answer_statuses(exchange, request, found.into_iter().map(done), context);
    Ok(())
}
