//! Read contexts that cannot be mistaken for another member's, another start's or another call's.
//!
//! The protocol finds a pending read by its context alone: two members with the same context would
//! lose one read, and a late answer to a read made before a restart would serve a stale one. So
//! every context travels as `member id | nonce of this start | counter | host's bytes`.

use std::collections::BTreeSet;

use crate::ReadPoint;

const PREFIX_BYTES: usize = 24;

/// Reads that one member may be waiting for, and that one leader collects before a quorum confirms it.
/// A host gathers many reads into one point, so this is far more than it needs.
pub(crate) const READS_PENDING_MAX: usize = 4096;

/// Wraps and unwraps one member's read contexts.
#[derive(Debug)]
pub(crate) struct ReadPoints {
    member_id: u64,
    nonce: u64,
    asked: u64,
    waiting: BTreeSet<u64>,
}

impl ReadPoints {
    pub(crate) fn new(member_id: u64, nonce: u64) -> Self {
        Self {
            member_id,
            nonce,
            asked: 0,
            waiting: BTreeSet::new(),
        }
    }

    /// The context that goes to the protocol. Reads that never got an answer are forgotten, the oldest
    /// first, when too many wait; their host's deadline is long over.
    pub(crate) fn wrap(&mut self, context: &[u8]) -> Vec<u8> {
        self.asked += 1;
        self.waiting.insert(self.asked);
        if self.waiting.len() > READS_PENDING_MAX {
            self.waiting.pop_first();
        }
        let mut wrapped = Vec::with_capacity(PREFIX_BYTES + context.len());
        for part in [self.member_id, self.nonce, self.asked] {
            wrapped.extend_from_slice(&part.to_le_bytes());
        }
        wrapped.extend_from_slice(context);
        wrapped
    }

    /// The host's own context again, once; nothing if this start does not wait for it.
    pub(crate) fn unwrap(&mut self, state: &raft::ReadState) -> Option<ReadPoint> {
        let (prefix, context) = state.request_ctx.split_at_checked(PREFIX_BYTES)?;
        let part = |at: usize| {
            let bytes = prefix[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("a slice of eight bytes"))
        };
        if (part(0), part(8)) != (self.member_id, self.nonce) || !self.waiting.remove(&part(16)) {
            return None;
        }
        Some(ReadPoint {
            context: context.to_vec(),
            index: state.index,
        })
    }
}
