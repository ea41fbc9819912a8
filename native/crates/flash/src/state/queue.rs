use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_engine::StoredBlock;
use holdfast_index::Slot;
use parking_lot::Mutex;

use crate::PageMemory;
use crate::failures::AppendFailure;
use crate::layout::Entry;
use crate::types::{AppendDone, DeleteDone};

/// Something that waits to be written, until it is.
pub(crate) struct Pending {
    /// Its entry; the page is filled in when it has a place.
    pub(crate) entry: Entry,
    /// Its bytes; none in a tombstone, and none once they are written.
    pub(crate) payload: Option<Payload>,
    /// What changes in the index when it is written.
    pub(crate) target: Target,
    /// It counts only once it is on stable storage.
    pub(crate) wants_sync: bool,
    /// Who is told.
    pub(crate) end: End,
}

/// Bytes to be written.
pub(crate) enum Payload {
    /// The caller's memory.
    Caller(Box<dyn StoredBlock>),
    /// Read from a segment that is reused.
    Moved(PageMemory),
}

impl Payload {
    /// The bytes; moved ones to the end of their last page.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Caller(block) => block.as_slice(),
            Self::Moved(memory) => memory,
        }
    }
}

/// What changes in the index when something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The block of this slot can be read.
    Block(Slot),
    /// The block of this slot lies elsewhere, if it still lies at this page.
    Moved(Slot, u64),
    /// Nothing.
    Tombstone,
    /// Nothing: the tombstone of a segment that is reused.
    MovedTombstone,
}

/// Who is told of an end.
pub(crate) enum End {
    /// Nobody.
    Nobody,
    /// The appender.
    Append(u64, AppendDone),
    /// The deleter, when all its tombstones have ended.
    Delete(Arc<DeleteEnd>),
}

/// The end of a delete of several blocks: that of its last tombstone.
pub(crate) struct DeleteEnd(Mutex<Deleting>);

struct Deleting {
    left: usize,
    result: Result<(), AppendFailure>,
    done: Option<DeleteDone>,
}

impl DeleteEnd {
    /// An end that comes after so many.
    pub(crate) fn new(left: usize, done: DeleteDone) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Deleting {
            left,
            result: Ok(()),
            done: Some(done),
        })))
    }

    fn tell(&self, result: Result<(), AppendFailure>) {
        let mut deleting = self.0.lock();
        deleting.left -= 1;
        deleting.result = deleting.result.and(result);
        let over = deleting.left == 0;
        let (result, done) = (deleting.result, deleting.done.take_if(|_| over));
        drop(deleting);
        if let Some(done) = done {
            done(result);
        }
    }
}

impl End {
    /// Tells.
    pub(crate) fn tell(self, result: Result<(), AppendFailure>) {
        match self {
            Self::Nobody => {}
            Self::Append(tag, done) => done(tag, result),
            Self::Delete(end) => end.tell(result),
        }
    }
}

/// What waits to be written to segments of one kind.
#[derive(Default)]
pub(crate) struct Queue {
    /// Out of segments that are reused: first, since they make room.
    pub(crate) moves: VecDeque<Pending>,
    /// From callers, in their order.
    pub(crate) items: VecDeque<Pending>,
}

impl Queue {
    /// Payload that waits, bytes.
    pub(crate) fn payload_bytes(&self) -> u64 {
        let all = self.moves.iter().chain(&self.items);
        all.map(|pending| u64::from(pending.entry.payload_bytes))
            .sum()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.items.is_empty()
    }
}
