//! Messages between members.

use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

use crate::CoreError;
use crate::configuration::encode_message;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Entries from the leader.
    Append,
    /// Answer to them.
    AppendResponse,
    /// The leader lives.
    Heartbeat,
    /// Answer to it.
    HeartbeatResponse,
    /// Asks for a vote.
    Vote,
    /// Answer to it.
    VoteResponse,
    /// Asks whether a vote would be given.
    PreVote,
    /// Answer to it.
    PreVoteResponse,
    /// A snapshot's position and descriptor.
    Snapshot,
    /// A follower asks for a read point.
    ReadIndex,
    /// Answer to it.
    ReadIndexResponse,
    /// The leader hands over.
    TimeoutNow,
}

impl MessageKind {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::AppendResponse => "append_response",
            Self::Heartbeat => "heartbeat",
            Self::HeartbeatResponse => "heartbeat_response",
            Self::Vote => "vote",
            Self::VoteResponse => "vote_response",
            Self::PreVote => "pre_vote",
            Self::PreVoteResponse => "pre_vote_response",
            Self::Snapshot => "snapshot",
            Self::ReadIndex => "read_index",
            Self::ReadIndexResponse => "read_index_response",
            Self::TimeoutNow => "timeout_now",
        }
    }

    /// Nothing for the kinds that never travel: local events, and proposals and handovers, which
    /// only the leader's own host makes.
    fn from_raft(kind: MessageType) -> Option<Self> {
        Some(match kind {
            MessageType::MsgAppend => Self::Append,
            MessageType::MsgAppendResponse => Self::AppendResponse,
            MessageType::MsgHeartbeat => Self::Heartbeat,
            MessageType::MsgHeartbeatResponse => Self::HeartbeatResponse,
            MessageType::MsgRequestVote => Self::Vote,
            MessageType::MsgRequestVoteResponse => Self::VoteResponse,
            MessageType::MsgRequestPreVote => Self::PreVote,
            MessageType::MsgRequestPreVoteResponse => Self::PreVoteResponse,
            MessageType::MsgSnapshot => Self::Snapshot,
            MessageType::MsgReadIndex => Self::ReadIndex,
            MessageType::MsgReadIndexResp => Self::ReadIndexResponse,
            MessageType::MsgTimeoutNow => Self::TimeoutNow,
            MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgPropose
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgTransferLeader => return None,
        })
    }
}

/// One message between members.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    kind: MessageKind,
    message: Message,
}

impl Envelope {
    /// Reads received bytes and checks what every message must satisfy.
    ///
    /// # Errors
    /// [`CoreError::Malformed`] for anything that no member would send.
    pub fn decode(bytes: &[u8]) -> Result<Self, CoreError> {
        let message =
            Message::parse_from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
        let Some(kind) = MessageKind::from_raft(message.get_msg_type()) else {
            return Err(malformed(format!(
                "{:?} never travels",
                message.get_msg_type()
            )));
        };
        let envelope = Self { kind, message };
        envelope.validate()?;
        Ok(envelope)
    }

    /// Bytes for the wire: a protobuf `Message`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_message(&self.message)
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Who sent it; for [`MessageKind::ReadIndex`] who asked, though another member passed it on.
    #[must_use]
    pub fn sender(&self) -> u64 {
        self.message.from
    }

    /// Who shall receive it.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.message.to
    }

    /// The sender's term; 0 for [`MessageKind::ReadIndex`].
    #[must_use]
    pub fn term(&self) -> u64 {
        self.message.term
    }

    /// Index and descriptor of the snapshot in a [`MessageKind::Snapshot`]. The sender's host must
    /// report its fate; the receiver's fetches the copy before it steps the message.
    #[must_use]
    pub fn snapshot(&self) -> Option<(u64, &[u8])> {
        (self.kind == MessageKind::Snapshot).then(|| {
            let snapshot = self.message.get_snapshot();
            (snapshot.get_metadata().index, snapshot.get_data())
        })
    }

    pub(crate) fn from_raft(message: Message) -> Self {
        let kind = MessageKind::from_raft(message.get_msg_type())
            .expect("the core never sends a local message");
        Self { kind, message }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }

    fn validate(&self) -> Result<(), CoreError> {
        let message = &self.message;
        // A follower passes a read on to the leader it knows, which by now may be the asker itself.
        let to_itself = message.from == message.to && self.kind != MessageKind::ReadIndex;
        if message.from == 0 || message.to == 0 || to_itself {
            return Err(malformed(format!(
                "from member {} to member {}",
                message.from, message.to
            )));
        }
        let termless = self.kind == MessageKind::ReadIndex;
        if termless != (message.term == 0) {
            return Err(malformed(format!(
                "{} with term {}",
                self.kind.name(),
                message.term
            )));
        }
        match self.kind {
            MessageKind::Append => self.validate_entries(),
            MessageKind::ReadIndex | MessageKind::ReadIndexResponse
                if message.entries.len() != 1 =>
            {
                Err(malformed("a read carries exactly one context".to_owned()))
            }
            MessageKind::Snapshot if message.get_snapshot().get_metadata().index == 0 => {
                Err(malformed("a snapshot of nothing".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn validate_entries(&self) -> Result<(), CoreError> {
        let mut last = (self.message.index, self.message.log_term);
        for entry in self.message.get_entries() {
            if Some(entry.index) != last.0.checked_add(1)
                || entry.term < last.1
                || entry.term > self.message.term
            {
                return Err(malformed(format!(
                    "entry (index {}, term {}) after (index {}, term {}) in a message of term {}",
                    entry.index, entry.term, last.0, last.1, self.message.term
                )));
            }
            last = (entry.index, entry.term);
        }
        Ok(())
    }
}

fn malformed(reason: String) -> CoreError {
    CoreError::Malformed {
        what: "message",
        reason,
    }
}
