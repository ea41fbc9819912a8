//! Who votes, and how that is asked to change.

use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};

use crate::CoreError;

/// The members of a group. Ids are sorted, so equal configurations are equal values and encode to
/// equal bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Voters (of the incoming half while joint).
    pub voters: Vec<u64>,
    /// Members that receive the log and do not vote.
    pub learners: Vec<u64>,
    /// Voters of the outgoing half; not empty only while joint.
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners when the joint configuration is left.
    pub learners_next: Vec<u64>,
    /// The leader leaves the joint configuration by itself.
    pub auto_leave: bool,
}

impl Configuration {
    /// A plain configuration.
    #[must_use]
    pub fn new(voters: &[u64], learners: &[u64]) -> Self {
        Self {
            voters: sorted(voters),
            learners: sorted(learners),
            ..Self::default()
        }
    }

    /// Any configuration; ids are sorted here.
    #[must_use]
    pub fn from_parts(
        voters: &[u64],
        learners: &[u64],
        voters_outgoing: &[u64],
        learners_next: &[u64],
        auto_leave: bool,
    ) -> Self {
        Self {
            voters: sorted(voters),
            learners: sorted(learners),
            voters_outgoing: sorted(voters_outgoing),
            learners_next: sorted(learners_next),
            auto_leave,
        }
    }

    /// Whether a change is half done and both halves must agree.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether nobody is a member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.learners.is_empty()
    }

    /// Whether `id` votes in either half.
    #[must_use]
    pub fn is_voter(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Whether `id` belongs to the group in any part.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.is_voter(id) || self.learners.contains(&id) || self.learners_next.contains(&id)
    }

    /// A protobuf `ConfState`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_message(&self.to_conf_state())
    }

    /// From [`Self::encode`]'s bytes.
    ///
    /// # Errors
    /// [`CoreError::Malformed`] if they are no `ConfState`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CoreError> {
        let state = ConfState::parse_from_bytes(bytes).map_err(|error| CoreError::Malformed {
            what: "configuration",
            reason: error.to_string(),
        })?;
        Ok(Self::from_conf_state(&state))
    }

    pub(crate) fn from_conf_state(state: &ConfState) -> Self {
        Self::from_parts(
            state.get_voters(),
            state.get_learners(),
            state.get_voters_outgoing(),
            state.get_learners_next(),
            state.get_auto_leave(),
        )
    }

    pub(crate) fn to_conf_state(&self) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(self.voters.clone());
        state.set_learners(self.learners.clone());
        state.set_voters_outgoing(self.voters_outgoing.clone());
        state.set_learners_next(self.learners_next.clone());
        state.set_auto_leave(self.auto_leave);
        state
    }
}

/// What is asked of one member's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Becomes a voter; promotes a learner.
    AddVoter,
    /// Becomes a learner; demotes a voter.
    AddLearner,
    /// Leaves the group.
    Remove,
}

/// One step of a membership change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub kind: ChangeKind,
    /// To whom.
    pub member_id: u64,
}

pub(crate) fn conf_change(changes: &[Change], joint: bool) -> ConfChangeV2 {
    let singles = changes.iter().map(|change| {
        let mut single = ConfChangeSingle::default();
        single.set_node_id(change.member_id);
        single.set_change_type(match change.kind {
            ChangeKind::AddVoter => ConfChangeType::AddNode,
            ChangeKind::AddLearner => ConfChangeType::AddLearnerNode,
            ChangeKind::Remove => ConfChangeType::RemoveNode,
        });
        single
    });
    let mut message = ConfChangeV2::default();
    message.set_changes(singles.collect());
    if joint {
        message.set_transition(ConfChangeTransition::Implicit);
    }
    message
}

pub(crate) fn encode_message(message: &impl protobuf::Message) -> Vec<u8> {
    message
        .write_to_bytes()
        .expect("a protobuf message without required fields always encodes")
}

fn sorted(ids: &[u64]) -> Vec<u64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}
