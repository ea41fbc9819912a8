//! The pure Raft core: one member of one group.

mod membership;
mod output;
mod recovery;
mod snapshots;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft::eraftpb::Entry;
use raft::{RawNode, Ready, StateRole};

use crate::election::ElectionTimeouts;
use crate::read_points::{READS_PENDING_MAX, ReadPoints};
use crate::window::LogWindow;
use crate::{
    Configuration, CoreConfig, CoreError, Envelope, MessageKind, Position, Progress, Recovered,
    Replication, Role, Status,
};

pub use snapshots::SNAPSHOT_DESCRIPTOR_BYTES_MAX;

/// One member's protocol state (tikv `raft`; pre-vote and check-quorum on).
///
/// Pure: the same construction and the same inputs in the same order give the same effects.
/// Every input is refused with [`CoreError::OutOfOrder`] while effects wait for
/// [`Self::advance`], and with [`CoreError::Stopped`] after a failed assertion inside the protocol.
pub struct Core {
    config: CoreConfig,
    node: RawNode<LogWindow>,
    timeouts: ElectionTimeouts,
    reads: ReadPoints,
    /// Handed out by `ready`, not yet given to `advance`.
    outstanding: Option<Ready>,
    /// Highest index handed out as committed, or installed.
    handed_out: u64,
    /// Configuration entries handed out and not yet applied, in order.
    unapplied_changes: VecDeque<Entry>,
    stopped: Option<String>,
}

impl Core {
    /// A member with what its log and its state machine hold.
    ///
    /// `applied` is what the state machine durably holds: at least `recovered.start.index` (0 for an
    /// empty log, [`crate::BOOTSTRAP_INDEX`] right after bootstrap). `seed` is the only source of
    /// election timeouts; it must differ between members and between two starts of one member,
    /// because read contexts are told apart by it.
    ///
    /// # Errors
    /// [`CoreError::InvalidSetting`], or [`CoreError::InconsistentState`] if log and state machine
    /// do not fit, such as entries that are missing behind `applied`.
    pub fn new(
        config: &CoreConfig,
        recovered: Recovered,
        applied: u64,
        seed: u64,
    ) -> Result<Self, CoreError> {
        config.validate()?;
        let node = recovery::start(config, recovered, applied)?;
        let mut timeouts = ElectionTimeouts::new(
            seed ^ config.member_id.wrapping_mul(0xd6e8_feb8_6659_fd93),
            config.election_ticks,
        );
        let nonce = timeouts.next_u64();
        let mut core = Self {
            config: config.clone(),
            node,
            timeouts,
            reads: ReadPoints::new(config.member_id, nonce),
            outstanding: None,
            handed_out: applied,
            unapplied_changes: VecDeque::new(),
            stopped: None,
        };
        core.follow_election_timeout();
        Ok(core)
    }

    /// One unit of the host's clock.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn tick(&mut self) -> Result<(), CoreError> {
        self.input(|core| {
            core.node.tick();
            core.leave_joint_configuration();
            Ok(())
        })
    }

    /// A message from another member. One that the protocol has no use for is ignored.
    ///
    /// # Errors
    /// [`CoreError::Malformed`], [`CoreError::WrongRecipient`]; [`CoreError::MemberOutdated`] when
    /// the leader counts on entries that this log does not hold; [`CoreError::OutOfOrder`],
    /// [`CoreError::Stopped`].
    pub fn step(&mut self, message: &[u8]) -> Result<(), CoreError> {
        let envelope = Envelope::decode(message)?;
        if envelope.to() != self.config.member_id {
            return Err(CoreError::WrongRecipient {
                member_id: self.config.member_id,
                to: envelope.to(),
            });
        }
        self.input(|core| {
            core.refuse_lost_log(&envelope)?;
            if envelope.kind() == MessageKind::ReadIndex && core.reads_are_full() {
                return Ok(());
            }
            match core.node.step(envelope.into_message()) {
                Ok(()) | Err(raft::Error::StepPeerNotFound | raft::Error::ProposalDropped) => {
                    Ok(())
                }
                Err(error) => Err(CoreError::Malformed {
                    what: "message",
                    reason: error.to_string(),
                }),
            }
        })
    }

    /// Appends one entry on the leader. It is committed when an entry with this index AND this term
    /// is handed out as committed; another term at that index means that it was lost.
    ///
    /// # Errors
    /// [`CoreError::NotLeader`], [`CoreError::EntryTooLarge`], [`CoreError::ProposalDropped`] (no
    /// effect); [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn propose(&mut self, context: Vec<u8>, data: Vec<u8>) -> Result<Position, CoreError> {
        self.refuse_large_entry(context.len() + data.len())?;
        self.input(|core| {
            core.require_leader()?;
            core.node
                .propose(context, data)
                .map_err(|error| core.dropped(&error))?;
            Ok(core.last_position())
        })
    }

    /// Asks for a linearizable read point; on followers the leader is asked. The answer comes in
    /// `read_points` with the same context, or never (a lost message, a change of leader): the host
    /// has a deadline and asks again. One point serves every read that was waiting when it was asked.
    ///
    /// # Errors
    /// [`CoreError::NotLeader`] while no leader is known, [`CoreError::LeaderNotReady`],
    /// [`CoreError::ProposalDropped`] when too many reads wait; [`CoreError::OutOfOrder`],
    /// [`CoreError::Stopped`].
    pub fn read_index(&mut self, context: &[u8]) -> Result<(), CoreError> {
        self.refuse_large_entry(context.len())?;
        self.input(|core| {
            let raft = &core.node.raft;
            if raft.leader_id == raft::INVALID_ID {
                return Err(core.not_leader());
            }
            if raft.state == StateRole::Leader && !raft.commit_to_current_term() {
                return Err(CoreError::LeaderNotReady {
                    member_id: raft.id,
                    term: raft.term,
                });
            }
            if core.reads_are_full() {
                return Err(CoreError::ProposalDropped {
                    member_id: raft.id,
                    reason: format!("{READS_PENDING_MAX} reads are waiting for a quorum"),
                });
            }
            let wrapped = core.reads.wrap(context);
            core.node.read_index(wrapped);
            Ok(())
        })
    }

    /// Starts an election now, after asking whether it could succeed.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn campaign(&mut self) -> Result<(), CoreError> {
        self.input(|core| {
            if core.node.raft.promotable() {
                core.node.campaign().map_err(|error| core.dropped(&error))?;
            }
            Ok(())
        })
    }

    /// Overrides the current draw of the election timeout until the next one.
    ///
    /// # Errors
    /// [`CoreError::InvalidSetting`] outside `[election_ticks, 2 * election_ticks)`;
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn set_election_timeout(&mut self, ticks: u64) -> Result<(), CoreError> {
        if !self.timeouts.allows(ticks) {
            return Err(CoreError::InvalidSetting {
                setting: "election timeout",
                value: ticks,
                range: format!(
                    "{} to {}",
                    self.config.election_ticks,
                    2 * self.config.election_ticks - 1
                ),
            });
        }
        self.input(|core| {
            core.timeouts.replace(ticks);
            Ok(())
        })
    }

    /// A message to that member was not delivered: it is probed again.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn report_unreachable(&mut self, member_id: u64) -> Result<(), CoreError> {
        self.input(|core| {
            core.node.report_unreachable(member_id);
            Ok(())
        })
    }

    /// One look at this member.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.node.raft;
        let window = raft.store();
        Status {
            member_id: raft.id,
            role: self.role(),
            leader: self.leader(),
            term: raft.term,
            vote: known(raft.vote),
            commit: raft.raft_log.committed,
            applied: raft.raft_log.applied,
            first_index: window.start_index() + 1,
            last_index: raft.raft_log.last_index(),
            window_bytes: window.entry_bytes(),
            election_timeout_ticks: raft.randomized_election_timeout() as u64,
            configuration: self.configuration(),
            transferee: raft.lead_transferee,
            progress: self.progress(),
        }
    }

    /// The part this member plays.
    #[must_use]
    pub fn role(&self) -> Role {
        Role::from_raft(self.node.raft.state)
    }

    /// Whom it believes to lead.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        known(self.node.raft.leader_id)
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Its applied index.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.node.raft.raft_log.applied
    }

    /// Who belongs to the group, as of the last configuration change that was applied here.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        Configuration::from_conf_state(&self.node.raft.prs().conf().to_conf_state())
    }

    fn progress(&self) -> Vec<Progress> {
        let raft = &self.node.raft;
        if raft.state != StateRole::Leader {
            return Vec::new();
        }
        let mut progress: Vec<Progress> = raft
            .prs()
            .iter()
            .map(|(id, seen)| Progress {
                member_id: *id,
                matched: seen.matched,
                next_index: seen.next_idx,
                replication: match seen.state {
                    raft::ProgressState::Probe => Replication::Probe,
                    raft::ProgressState::Replicate => Replication::Replicate,
                    raft::ProgressState::Snapshot => Replication::Snapshot,
                },
                recently_active: seen.recent_active || *id == raft.id,
                learner: raft.prs().conf().learners().contains(id),
            })
            .collect();
        progress.sort_unstable_by_key(|seen| seen.member_id);
        progress
    }

    /// Runs one input: refuses it at a wrong moment, stops for good when an assertion of the protocol
    /// fails, and keeps the election timeout ours afterwards.
    fn input<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        if let Some(reason) = &self.stopped {
            return Err(CoreError::Stopped {
                reason: reason.clone(),
            });
        }
        if let Some(ready) = &self.outstanding {
            return Err(CoreError::OutOfOrder {
                reason: format!("effects {} wait for advance", ready.number()),
            });
        }
        self.unchecked_input(change)
    }

    fn unchecked_input<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        // The state may be half changed after a panic: nothing reads it again but `status`.
        match catch_unwind(AssertUnwindSafe(|| change(self))) {
            Ok(result) => {
                self.follow_election_timeout();
                result
            }
            Err(panic) => {
                let reason = panic_text(panic.as_ref());
                self.stopped = Some(reason.clone());
                Err(CoreError::Stopped { reason })
            }
        }
    }

    fn follow_election_timeout(&mut self) {
        let raft = &mut self.node.raft;
        let ticks = self.timeouts.ticks_in((raft.term, raft.state));
        raft.set_randomized_election_timeout(ticks);
    }

    /// A heartbeat's commit index never exceeds what this member acknowledged. Without this check the
    /// protocol's assertion would stop a member whose disk was wiped, without saying why.
    fn refuse_lost_log(&self, envelope: &Envelope) -> Result<(), CoreError> {
        let raft = &self.node.raft;
        let message = envelope.message();
        let last_index = raft.raft_log.last_index();
        if envelope.kind() == MessageKind::Heartbeat
            && message.term >= raft.term
            && message.commit > last_index
        {
            return Err(CoreError::MemberOutdated {
                member_id: raft.id,
                leader: message.from,
                acknowledged: message.commit,
                last_index,
            });
        }
        Ok(())
    }

    fn refuse_large_entry(&self, bytes: usize) -> Result<(), CoreError> {
        let bytes_max = self.config.entry_bytes_max as usize;
        if bytes > bytes_max {
            return Err(CoreError::EntryTooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    fn reads_are_full(&self) -> bool {
        self.node.raft.pending_read_count() >= READS_PENDING_MAX
    }

    fn require_leader(&self) -> Result<(), CoreError> {
        if self.node.raft.state == StateRole::Leader {
            Ok(())
        } else {
            Err(self.not_leader())
        }
    }

    fn not_leader(&self) -> CoreError {
        CoreError::NotLeader {
            member_id: self.config.member_id,
            leader: self.leader(),
        }
    }

    fn dropped(&self, error: &raft::Error) -> CoreError {
        let raft = &self.node.raft;
        let reason = if let Some(transferee) = raft.lead_transferee {
            format!("leadership is being handed to member {transferee}")
        } else if raft.prs().get(raft.id).is_none() {
            "it is no longer a member".to_owned()
        } else if matches!(error, raft::Error::ProposalDropped) {
            format!(
                "{} uncommitted bytes are at the limit of {}",
                raft.uncommitted_size(),
                self.config.uncommitted_bytes_max
            )
        } else {
            error.to_string()
        };
        CoreError::ProposalDropped {
            member_id: raft.id,
            reason,
        }
    }

    fn last_position(&self) -> Position {
        Position {
            index: self.node.raft.raft_log.last_index(),
            term: self.node.raft.term,
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Core")
            .field("status", &self.status())
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

fn known(id: u64) -> Option<u64> {
    (id != raft::INVALID_ID).then_some(id)
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned())
}
