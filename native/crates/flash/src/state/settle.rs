use super::{End, Health, Payload, Pending, State, Target, of_kind};
use crate::failures::AppendFailure;
use crate::layout::SegmentKind;

/// Ends that are to be told once the lock is free.
pub(crate) type Ended = Vec<(End, Result<(), AppendFailure>)>;

impl State {
    /// The payload of an append is not needed any more. The caller lets go of it without the lock:
    /// that may enter locks of its owner.
    pub(crate) fn release(&mut self, pending: &mut Pending, kind: SegmentKind) -> Option<Payload> {
        if let Target::Block(_) = pending.target {
            self.queued_bytes -= u64::from(pending.entry.payload_bytes);
            if kind == SegmentKind::Durable {
                self.durable_queued_pages -= u64::from(pending.entry.payload_pages());
            }
        }
        pending.payload.take()
    }

    /// Something is written as well as it wants to be, in this segment: the index names it.
    pub(crate) fn settle(&mut self, segment: u32, pending: Pending, ended: &mut Ended) {
        let page = self.geometry.page(segment, pending.entry.page);
        let pages = pending.entry.payload_pages();
        let result = match pending.target {
            Target::Block(slot) => {
                let dropped = {
                    let record = self.index.record(slot);
                    !record.place.is_doomed() && self.index.space_of(record).dropped
                };
                if self.index.commit(slot, page) {
                    self.segments.add_live(page, pages);
                    Ok(())
                } else if dropped {
                    Err(AppendFailure::SpaceDropped)
                } else {
                    Err(AppendFailure::Deleted)
                }
            }
            Target::Moved(slot, from) => {
                if self.is_at(slot, from) {
                    self.segments.remove_live(from, pages);
                    self.index.move_to(slot, page);
                    self.segments.add_live(page, pages);
                }
                Ok(())
            }
            Target::Tombstone | Target::MovedTombstone => Ok(()),
        };
        ended.push((pending.end, result));
    }

    /// Whether the block of a slot lies at a page.
    pub(crate) fn is_at(&self, slot: holdfast_index::Slot, page: u64) -> bool {
        let record = self.index.record(slot);
        record.place.space() != 0 && record.place.page() == Some(page)
    }

    /// Whether a tombstone whose write failed is written again. Not when the id was appended
    /// anew: it would hide that block as well.
    fn may_repeat(&self, pending: &Pending) -> bool {
        let anew = self.find(&pending.entry).is_some();
        self.health == Health::Serving && !self.stopping && !anew
    }

    /// Something was not written, or not as well as it wants to be. A tombstone is written again
    /// while the store writes at all: the block must not come back.
    pub(crate) fn fail(
        &mut self,
        mut pending: Pending,
        kind: SegmentKind,
        failure: AppendFailure,
        ended: &mut Ended,
    ) {
        match pending.target {
            Target::Block(slot) => self.index.abort(slot),
            Target::Tombstone if self.may_repeat(&pending) => {
                pending.entry.page = 0;
                self.queues[of_kind(kind)].items.push_front(pending);
                return;
            }
            Target::Moved(..) | Target::Tombstone | Target::MovedTombstone => {}
        }
        ended.push((pending.end, Err(failure)));
    }

    /// Ends everything that waits to be written.
    pub(crate) fn fail_queued(
        &mut self,
        kind: SegmentKind,
        failure: AppendFailure,
        ended: &mut Ended,
    ) {
        let queue = &mut self.queues[of_kind(kind)];
        let waiting: Vec<Pending> = queue.moves.drain(..).chain(queue.items.drain(..)).collect();
        for mut pending in waiting {
            drop(self.release(&mut pending, kind));
            if let Target::Block(slot) = pending.target {
                self.index.abort(slot);
            }
            ended.push((pending.end, Err(failure)));
        }
    }
}
