//! Read contexts that cannot be mistaken for another member's, another start's or another call's.
//!
//! The protocol finds a pending read by its context alone: two members with the same context would
//! lose one read, and a late answer to a read made before a restart would serve a stale one. So
//! every context travels as `member id | nonce of this start | counter | host's bytes`.

use crate::ReadPoint;

const PREFIX_BYTES: usize = 24;

/// Wraps and unwraps one member's read contexts.
#[derive(Debug)]
pub(crate) struct ReadPoints {
    member_id: u64,
    nonce: u64,
    sent: u64,
}

impl ReadPoints {
    pub(crate) fn new(member_id: u64, nonce: u64) -> Self {
        Self {
            member_id,
            nonce,
            sent: 0,
        }
    }

    /// The context that goes to the protocol.
    pub(crate) fn wrap(&mut self, context: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let mut wrapped = Vec::with_capacity(PREFIX_BYTES + context.len());
        for part in [self.member_id, self.nonce, self.sent] {
            wrapped.extend_from_slice(&part.to_le_bytes());
        }
        wrapped.extend_from_slice(context);
        wrapped
    }

    /// The host's own context again, or nothing if this start did not ask.
    pub(crate) fn unwrap(&self, state: raft::ReadState) -> Option<ReadPoint> {
        let context = state.request_ctx;
        let mut expected = [0_u8; 16];
        expected[..8].copy_from_slice(&self.member_id.to_le_bytes());
        expected[8..].copy_from_slice(&self.nonce.to_le_bytes());
        if context.len() < PREFIX_BYTES || context[..16] != expected {
            return None;
        }
        Some(ReadPoint {
            context: context[PREFIX_BYTES..].to_vec(),
            index: state.index,
        })
    }
}
