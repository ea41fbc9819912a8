//! Membership changes and handing leadership over.

use raft::eraftpb::ConfChangeV2;
use raft::{Changer, StateRole};

use super::{Core, recovery};
use crate::configuration::conf_change;
use crate::{Change, ChangeKind, Configuration, CoreError, Position};

impl Core {
    /// Proposes a membership change on the leader. Several changes, or `joint`, go through joint
    /// consensus, which the leader leaves by itself. Adding a learner as voter promotes it.
    ///
    /// # Errors
    /// [`CoreError::NotLeader`], [`CoreError::ChangePending`], [`CoreError::RemovesLeader`],
    /// [`CoreError::InvalidChange`], [`CoreError::EntryTooLarge`], [`CoreError::ProposalDropped`],
    /// all without effect; [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn propose_configuration_change(
        &mut self,
        changes: &[Change],
        context: Vec<u8>,
        joint: bool,
    ) -> Result<Position, CoreError> {
        self.refuse_large_entry(context.len() + 32 * changes.len())?;
        self.input(|core| {
            core.require_leader()?;
            core.refuse_pending_change()?;
            core.refuse_unfit(changes)?;
            let change = conf_change(changes, joint);
            core.rehearse(&change)?;
            core.node
                .propose_conf_change(context, change)
                .map_err(|error| core.dropped(&error))?;
            Ok(core.last_position())
        })
    }

    /// Puts a committed membership change into force; call it once for each committed entry of kind
    /// configuration, in order, when the host applies it. Returns the configuration now in force.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`] if `index` is not the next such entry; [`CoreError::Malformed`];
    /// [`CoreError::InconsistentState`] if it contradicts the configuration in force;
    /// [`CoreError::Stopped`].
    pub fn apply_configuration_change(&mut self, index: u64) -> Result<Configuration, CoreError> {
        self.input(|core| {
            let next = core.unapplied_changes.front();
            let Some(entry) = next.filter(|entry| entry.index == index) else {
                return Err(CoreError::OutOfOrder {
                    reason: format!(
                        "configuration change {index} was applied, the next one is {:?}",
                        next.map(|entry| entry.index)
                    ),
                });
            };
            let change = recovery::change_in(entry)?.unwrap_or_default();
            let state = core.node.apply_conf_change(&change).map_err(|error| {
                CoreError::InconsistentState {
                    reason: format!("configuration change at {index}: {error}"),
                }
            })?;
            core.unapplied_changes.pop_front();
            let configuration = Configuration::from_conf_state(&state);
            core.node
                .mut_store()
                .record_configuration(index, configuration.clone());
            core.step_down_if_removed(&configuration);
            Ok(configuration)
        })
    }

    /// Starts handing leadership to a voter; it is given up after one election timeout. Proposals are
    /// dropped meanwhile.
    ///
    /// # Errors
    /// [`CoreError::NotLeader`], [`CoreError::InvalidChange`] for a non-voter;
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn transfer_leader(&mut self, member_id: u64) -> Result<(), CoreError> {
        self.input(|core| {
            core.require_leader()?;
            if !core.configuration().is_voter(member_id) {
                return Err(CoreError::InvalidChange {
                    reason: format!("member {member_id} is no voter and cannot lead"),
                });
            }
            core.node.transfer_leader(member_id);
            Ok(())
        })
    }

    /// A change that an earlier leader proposed can remove the one that applies it. The protocol lets
    /// it lead on and drop every proposal; others must take over instead.
    fn step_down_if_removed(&mut self, configuration: &Configuration) {
        let raft = &mut self.node.raft;
        if raft.state == StateRole::Leader && !configuration.is_voter(raft.id) {
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
        }
    }

    /// A leader that stepped down between entering and leaving a joint configuration leaves that to
    /// its successor, which the protocol does not notice by itself.
    pub(super) fn leave_joint_configuration(&mut self) {
        let raft = &self.node.raft;
        let stuck = raft.state == StateRole::Leader
            && *raft.prs().conf().auto_leave()
            && raft.lead_transferee.is_none()
            && !raft.has_pending_conf();
        if stuck {
            // Dropped only if the leader left the group, and then a successor tries.
            let _ = self
                .node
                .propose_conf_change(Vec::new(), ConfChangeV2::default());
        }
    }

    /// The protocol replaces a change that it refuses by an empty entry without telling anybody, so
    /// its reasons are checked first.
    fn refuse_pending_change(&self) -> Result<(), CoreError> {
        let raft = &self.node.raft;
        if raft.has_pending_conf() || self.configuration().is_joint() {
            return Err(CoreError::ChangePending {
                index: raft.pending_conf_index,
            });
        }
        Ok(())
    }

    fn refuse_unfit(&self, changes: &[Change]) -> Result<(), CoreError> {
        let refuse = |reason: String| Err(CoreError::InvalidChange { reason });
        if changes.is_empty() {
            return refuse("no change given".to_owned());
        }
        let configuration = self.configuration();
        for (position, change) in changes.iter().enumerate() {
            let id = change.member_id;
            if id == 0 {
                return refuse("member id 0".to_owned());
            }
            if changes[..position]
                .iter()
                .any(|other| other.member_id == id)
            {
                return refuse(format!("member {id} is named twice"));
            }
            let unfit = match change.kind {
                ChangeKind::AddVoter => configuration
                    .voters
                    .contains(&id)
                    .then_some("votes already"),
                ChangeKind::AddLearner => configuration
                    .learners
                    .contains(&id)
                    .then_some("is a learner already"),
                ChangeKind::Remove => (!configuration.contains(id)).then_some("is no member"),
            };
            if let Some(why) = unfit {
                return refuse(format!("member {id} {why}"));
            }
            if id == self.config.member_id && change.kind != ChangeKind::AddVoter {
                return Err(CoreError::RemovesLeader { member_id: id });
            }
        }
        Ok(())
    }

    /// Tries the change on a copy: what could not be applied must not be proposed.
    fn rehearse(&self, change: &ConfChangeV2) -> Result<(), CoreError> {
        let mut changer = Changer::new(self.node.raft.prs());
        let outcome = match change.enter_joint() {
            Some(auto_leave) => changer.enter_joint(auto_leave, change.get_changes()),
            None => changer.simple(change.get_changes()),
        };
        outcome
            .map(|_| ())
            .map_err(|error| CoreError::InvalidChange {
                reason: error.to_string(),
            })
    }
}
