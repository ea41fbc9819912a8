//! What is stored: entries and the hard state, as values that hide their protobuf form.

use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState};

use crate::CoreError;
use crate::configuration::encode_message;

/// Where an entry stands. An entry is the one that was proposed only if both parts agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Index in the log.
    pub index: u64,
    /// Term of the leader that appended it.
    pub term: u64,
}

/// One entry as it is stored and sent.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryRecord(pub(crate) Entry);

impl EntryRecord {
    /// Index and term.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            index: self.0.index,
            term: self.0.term,
        }
    }

    /// A protobuf `Entry`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_message(&self.0)
    }

    /// From [`Self::encode`]'s bytes.
    ///
    /// # Errors
    /// [`CoreError::Malformed`] if they are no entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, CoreError> {
        let entry = Entry::parse_from_bytes(bytes).map_err(|error| CoreError::Malformed {
            what: "entry",
            reason: error.to_string(),
        })?;
        if entry.index == 0 || entry.term == 0 {
            return Err(CoreError::Malformed {
                what: "entry",
                reason: format!(
                    "index {} and term {} must not be 0",
                    entry.index, entry.term
                ),
            });
        }
        Ok(Self(entry))
    }

    /// Bytes that the entry takes in memory, about.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        entry_weight_bytes(&self.0)
    }
}

pub(crate) fn entry_weight_bytes(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len() + size_of::<Entry>()) as u64
}

/// Term, vote and commit index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HardStateRecord(pub(crate) HardState);

impl HardStateRecord {
    /// From its parts; `vote` 0 means nobody.
    #[must_use]
    pub fn new(term: u64, vote: u64, commit: u64) -> Self {
        let mut state = HardState::default();
        state.set_term(term);
        state.set_vote(vote);
        state.set_commit(commit);
        Self(state)
    }

    /// Highest term seen.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.0.term
    }

    /// Whom this member voted for in that term, 0 for nobody.
    #[must_use]
    pub fn vote(&self) -> u64 {
        self.0.vote
    }

    /// Highest index known to be committed.
    #[must_use]
    pub fn commit(&self) -> u64 {
        self.0.commit
    }

    /// A protobuf `HardState`; empty for the state of a member that knows nothing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_message(&self.0)
    }

    /// From [`Self::encode`]'s bytes.
    ///
    /// # Errors
    /// [`CoreError::Malformed`] if they are no hard state.
    pub fn decode(bytes: &[u8]) -> Result<Self, CoreError> {
        HardState::parse_from_bytes(bytes)
            .map(Self)
            .map_err(|error| CoreError::Malformed {
                what: "hard state",
                reason: error.to_string(),
            })
    }
}
