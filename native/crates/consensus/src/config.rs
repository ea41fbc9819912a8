//! Settings of one member.

use crate::CoreError;

/// Settings of one member. `election_ticks` and `heartbeat_ticks` must agree between members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreConfig {
    /// Non-zero, unique in the cluster, never reused for a member with another disk.
    pub member_id: u64,
    /// Ticks without a leader before an election; each draw is in `[this, 2 * this)`.
    pub election_ticks: u32,
    /// Ticks between a leader's heartbeats; less than `election_ticks`.
    pub heartbeat_ticks: u32,
    /// Append messages to one follower that may be unanswered.
    pub messages_inflight_max: u32,
    /// Entry bytes in one append message; one larger entry still goes alone.
    pub message_bytes_max: u64,
    /// Proposed, uncommitted bytes beyond which proposals are dropped.
    pub uncommitted_bytes_max: u64,
    /// Bytes of committed entries handed out at once.
    pub committed_bytes_per_ready_max: u64,
    /// Bytes of one proposal, context included.
    pub entry_bytes_max: u64,
}

impl CoreConfig {
    /// Defaults for a member: 10 election ticks, 1 heartbeat tick, messages of 1 MiB.
    #[must_use]
    pub fn new(member_id: u64) -> Self {
        Self {
            member_id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            messages_inflight_max: 256,
            message_bytes_max: 1 << 20,
            uncommitted_bytes_max: 64 << 20,
            committed_bytes_per_ready_max: 16 << 20,
            entry_bytes_max: 8 << 20,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`CoreError::InvalidSetting`] names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), CoreError> {
        let heartbeat = u64::from(self.heartbeat_ticks);
        let checks: [(&'static str, u64, u64, u64); 8] = [
            ("member_id", self.member_id, 1, u64::MAX),
            ("heartbeat_ticks", heartbeat, 1, 1 << 20),
            (
                "election_ticks",
                self.election_ticks.into(),
                heartbeat + 1,
                1 << 24,
            ),
            (
                "messages_inflight_max",
                self.messages_inflight_max.into(),
                1,
                1 << 16,
            ),
            ("message_bytes_max", self.message_bytes_max, 1, 1 << 28),
            ("entry_bytes_max", self.entry_bytes_max, 1, 1 << 28),
            (
                "uncommitted_bytes_max",
                self.uncommitted_bytes_max,
                self.entry_bytes_max.max(self.message_bytes_max),
                1 << 40,
            ),
            (
                "committed_bytes_per_ready_max",
                self.committed_bytes_per_ready_max,
                1,
                1 << 40,
            ),
        ];
        for (setting, value, least, most) in checks {
            if !(least..=most).contains(&value) {
                return Err(CoreError::InvalidSetting {
                    setting,
                    value,
                    range: format!("{least} to {most}"),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn to_raft(&self, applied: u64) -> raft::Config {
        raft::Config {
            id: self.member_id,
            election_tick: self.election_ticks as usize,
            heartbeat_tick: self.heartbeat_ticks as usize,
            applied,
            max_size_per_msg: self.message_bytes_max,
            max_inflight_msgs: self.messages_inflight_max as usize,
            check_quorum: true,
            pre_vote: true,
            batch_append: true,
            max_uncommitted_size: self.uncommitted_bytes_max,
            max_committed_size_per_ready: self.committed_bytes_per_ready_max,
            ..raft::Config::default()
        }
    }
}
