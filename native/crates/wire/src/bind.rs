use crate::limits::MESSAGE_BYTES_MAX;
use crate::reader::{Reader, push_text};
use crate::{TICKET_BYTES, WireError};

/// Body of `Bind`: a space ticket makes its space usable on the connection, or renews it; a
/// tenant (or node) ticket renews the one that opened the connection. The answer has no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindRequest {
    /// A ticket of the connection's own tenant (or node).
    pub ticket: [u8; TICKET_BYTES],
}

impl BindRequest {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ticket);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] for another length.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("bind request", body);
        let ticket = reader.array()?;
        reader.end()?;
        Ok(Self { ticket })
    }
}

/// Body of `Goodbye`, and of every answer whose status is not `Ok` (but `HelloAnswer`, which
/// always carries a [`crate::Welcome`]): what happened, for a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened, to what, and what to do.
    pub text: String,
}

impl Refusal {
    /// Appends the body.
    pub fn encode(text: &str, out: &mut Vec<u8>) {
        push_text(out, text, MESSAGE_BYTES_MAX);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] for a malformed text.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("refusal", body);
        let text = reader.text(MESSAGE_BYTES_MAX)?;
        reader.end()?;
        Ok(Self { text })
    }
}
