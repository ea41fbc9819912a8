use std::os::fd::OwnedFd;

use holdfast_wire::{AnswerStatus, RegionOffer, TransportKind};

use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::regions::OfferError;
use crate::session::{Denied, Session};

/// Takes memory that the caller lets this node read.
pub(crate) fn offer(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &Context<'_>,
    descriptor: Option<OwnedFd>,
) -> Result<(), Failure> {
    let offer = RegionOffer::decode(request.body)?;
    check_transport(session)?;
    let Some(descriptor) = descriptor else {
        return Err(Failure::Malformed(Denied::new(
            AnswerStatus::Malformed,
            format!(
                "no descriptor came with the offer of region {}",
                offer.region
            ),
        )));
    };
    exchange
        .regions
        .offer(offer.region, offer.bytes, descriptor)
        .map_err(|error| {
            let status = match error {
                OfferError::TooMany => AnswerStatus::Busy,
                _ => AnswerStatus::PermissionDenied,
            };
            Denied::new(status, error.to_string())
        })?;
    exchange.answer(request.ends, &[], context);
    Ok(())
}

/// Gives offered memory back. Copies under way that need it end as refused.
pub(crate) fn withdraw(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let offer = RegionOffer::decode(request.body)?;
    check_transport(session)?;
    if !exchange.regions.withdraw(offer.region) {
        return Err(Denied::new(
            AnswerStatus::PermissionDenied,
            format!("region {} is not offered", offer.region),
        )
        .into());
    }
    exchange.answer(request.ends, &[], context);
    Ok(())
}

fn check_transport(session: &Session) -> Result<(), Denied> {
    match session.transport {
        TransportKind::SharedMemory => Ok(()),
        TransportKind::Tcp => Err(Denied::new(
            AnswerStatus::PermissionDenied,
            "regions are offered on shared-memory connections only",
        )),
    }
}
