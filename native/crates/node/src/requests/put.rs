use holdfast_engine::PutKey;
use holdfast_wire::{
    AnswerStatus, Header, Kind, OfferedPut, Piece, PutGrant, PutRequest, TransportKind, Verdict,
};

use super::admit::admit;
use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::grant::GrantedPut;
use crate::offered::OfferedCopy;
use crate::session::{Denied, Session};

/// Answers what of a put to send, and takes room for it.
pub(crate) fn put(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let put = PutRequest::decode(request.body)?;
    let spec = session.space(context.shared, put.space)?;
    let number = request.header.request;
    if exchange.grants.contains_key(&number) {
        return Err(Failure::Malformed(Denied::new(
            AnswerStatus::Malformed,
            format!("request number {number} is in use"),
        )));
    }
    let writes = put.entries.iter().map(|entry| {
        Some(PutKey {
            id: entry.id,
            position: entry.position,
        })
    });
    let (admitted, verdicts) = admit(session, &spec, put.write_id, writes, request.ends, context);
    let mut body = exchange.outgoing.buffer();
    for verdict in &verdicts {
        PutGrant::push(&mut body, *verdict);
    }
    let mut header = Header::new(Kind::PutGrant, number);
    header.epoch = context.epoch();
    exchange.outgoing.push(&header, &body, None);
    exchange.outgoing.recycle(body);
    if verdicts.contains(&Verdict::Want) {
        let grant = GrantedPut::new(admitted, spec.block_bytes);
        exchange.grants.insert(number, grant);
    } else {
        let statuses = admitted.commit(context.shared, &[], std::iter::empty());
        exchange.put_done(request.ends, &statuses, context);
    }
    Ok(())
}

/// Begins to copy blocks out of memory that the caller offered before.
pub(crate) fn put_offered(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let put = OfferedPut::decode(request.body)?;
    if session.transport != TransportKind::SharedMemory {
        return Err(Denied::new(
            AnswerStatus::PermissionDenied,
            "offered puts need a shared-memory connection",
        )
        .into());
    }
    let spec = session.space(context.shared, put.space)?;
    let regions = &exchange.regions;
    let covered = |pieces: &[Piece]| {
        let bytes: u64 = pieces.iter().map(|piece| u64::from(piece.bytes)).sum();
        bytes == u64::from(spec.block_bytes) && pieces.iter().all(|piece| regions.covers(piece))
    };
    let mut rest = put.pieces.as_slice();
    let writes = put.entries.iter().map(|entry| {
        // The decoder has checked that the entries name as many pieces as there are.
        let (pieces, behind) = rest.split_at(entry.pieces as usize);
        rest = behind;
        covered(pieces).then_some(PutKey {
            id: entry.id,
            position: entry.position,
        })
    });
    let (admitted, _) = admit(session, &spec, put.write_id, writes, request.ends, context);
    let copy = OfferedCopy::new(admitted, put.entries, put.pieces);
    exchange.copies.push_back(copy);
    Ok(())
}
