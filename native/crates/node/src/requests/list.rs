use holdfast_wire::limits::BODY_BYTES_MAX;
use holdfast_wire::{AnswerStatus, ListAnswer, ListRequest, ListedBlock, bitmap_get};

use crate::connection::Context;
use crate::exchange::{Exchange, Failure, Request};
use crate::session::{Denied, Session};

/// Blocks on one page, so that a page fits into a body.
const PAGE_BLOCKS_MAX: usize = (BODY_BYTES_MAX as usize - 64) / 48;

/// Answers one page of the blocks of some groups to another node.
///
/// A node that takes groups over by a newer map than this one's has to wait: as long as this node
/// counts as owner here, it stores and deletes blocks that the new owner is not told of.
pub(crate) fn list(
    exchange: &mut Exchange,
    session: &Session,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let wanted = ListRequest::decode(request.body)?;
    session.check_node(context.shared)?;
    let (asked, epoch) = (request.header.epoch, context.epoch());
    if asked > epoch {
        let text = format!("it serves by map {epoch}, which is older than {asked}");
        return Err(Denied::new(AnswerStatus::Busy, text).into());
    }
    let limit = (wanted.limit as usize).min(PAGE_BLOCKS_MAX);
    let mut page = Vec::with_capacity(limit.min(4096));
    let next = context.shared.engine.list(
        wanted.cursor,
        limit,
        wanted.group_count,
        &|group| bitmap_get(&wanted.groups, group as usize),
        context.now_ms(),
        &mut page,
    );
    let blocks = page
        .into_iter()
        .map(|block| ListedBlock {
            id: block.id,
            tenant: block.tenant,
            space: block.space,
            block_bytes: block.block_bytes,
            crc: block.crc,
            write_id: block.write_id,
            position: block.position,
            ttl_left_ms: block.ttl_left_ms.map_or(0, |left_ms| left_ms.max(1)),
        })
        .collect();
    let mut body = exchange.outgoing.buffer();
    ListAnswer { next, blocks }.encode(&mut body);
    exchange.answer(request.ends, &body, context);
    exchange.outgoing.recycle(body);
    Ok(())
}
