use crate::status::AnswerStatus;

/// Why bytes are not a frame of this protocol. The connection they came from is ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the message needs.
    #[error("{what} is truncated: needs {needed} bytes, has {have}")]
    Truncated {
        /// The message or field.
        what: &'static str,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// Bytes left over behind a message.
    #[error("{what} has {extra} bytes too many")]
    Trailing {
        /// The message.
        what: &'static str,
        /// Bytes left over.
        extra: usize,
    },
    /// A length or count beyond its limit.
    #[error("{what} is {value}, the limit is {limit}")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// The value found.
        value: u64,
        /// The largest allowed.
        limit: u64,
    },
    /// A field holds a value that this version does not know.
    #[error("{what} has the unknown value {value}")]
    Unknown {
        /// The field.
        what: &'static str,
        /// The value found.
        value: u64,
    },
    /// The peer does not speak this protocol at all.
    #[error("these bytes are not the Holdfast block protocol (first bytes {found:02x?})")]
    BadMagic {
        /// What stood where the magic should.
        found: [u8; 4],
    },
    /// Header and body do not match their checksum.
    #[error("frame check is {found:#010x}, its bytes give {computed:#010x}")]
    BadCheck {
        /// Checksum in the frame.
        found: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
}

impl WireError {
    /// The status that an answer to such bytes carries before the connection ends.
    #[must_use]
    pub fn status(&self) -> AnswerStatus {
        AnswerStatus::Malformed
    }
}
