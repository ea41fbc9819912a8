use crate::limits::{BODY_BYTES_MAX, DEADLINE_MS_MAX, PAYLOAD_BYTES_MAX};
use crate::reader::Reader;
use crate::status::wire_enum;
use crate::{AnswerStatus, WireError, checksum::Crc32c};

/// Bytes of an encoded [`Header`].
pub const HEADER_BYTES: usize = 40;

wire_enum! {
    /// What a frame is. An answer has its request's kind with the top bit set, and its number.
    Kind: u8, "frame kind" {
        /// First frame of a connection.
        Hello = 0x01,
        /// Binds a space to the connection by its ticket.
        Bind = 0x02,
        /// Which of these keys are stored.
        Exists = 0x03,
        /// Read blocks.
        Get = 0x04,
        /// Ask to write blocks.
        Put = 0x05,
        /// The granted payloads of a put, then their checksums.
        PutData = 0x06,
        /// Ask to write blocks that lie in offered regions (shared memory).
        PutOffered = 0x07,
        /// Remove blocks.
        Delete = 0x08,
        /// Keep blocks for a while.
        Pin = 0x09,
        /// Facts about blocks.
        Stat = 0x0A,
        /// The caller found a block's bytes not to match: look and drop it.
        Report = 0x0B,
        /// Blocks of some groups, page by page (between nodes).
        List = 0x0C,
        /// Offers a memory region; its descriptor travels with the frame (shared memory).
        Offer = 0x0D,
        /// Takes an offered region back.
        Withdraw = 0x0E,
        /// Answers at once: is the connection alive.
        Ping = 0x0F,
        /// Answer to `Hello`.
        HelloAnswer = 0x81,
        /// Answer to `Bind`.
        BindAnswer = 0x82,
        /// Answer to `Exists`: a bitmap.
        ExistsAnswer = 0x83,
        /// Answer to `Get`: per-key results, then the payload of the hits.
        GetAnswer = 0x84,
        /// First answer to `Put`: what to send.
        PutGrant = 0x85,
        /// Last answer to `Put` and to `PutOffered`: per-key results.
        PutDone = 0x86,
        /// Answer to `Delete`.
        DeleteAnswer = 0x88,
        /// Answer to `Pin`.
        PinAnswer = 0x89,
        /// Answer to `Stat`.
        StatAnswer = 0x8A,
        /// Answer to `Report`.
        ReportAnswer = 0x8B,
        /// Answer to `List`.
        ListAnswer = 0x8C,
        /// Answer to `Offer`.
        OfferAnswer = 0x8D,
        /// Answer to `Withdraw`.
        WithdrawAnswer = 0x8E,
        /// Answer to `Ping`.
        PingAnswer = 0x8F,
        /// Answer to `Get` over shared memory: where the blocks lie.
        Located = 0x90,
        /// A read-only view of node memory; its descriptor travels with the frame.
        View = 0x91,
        /// The last frame before the node ends the connection; status and text say why.
        Goodbye = 0xFF,
    }
}

/// Head of every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of body behind the header, at most [`BODY_BYTES_MAX`].
    pub body_bytes: u32,
    /// What the frame is.
    pub kind: Kind,
    /// Of an answer: what became of the request. Of a request: `Ok`.
    pub status: AnswerStatus,
    /// The caller's number for the request, unique among those in flight on the connection.
    pub request: u32,
    /// Of a request: time left, milliseconds, at most [`DEADLINE_MS_MAX`]. The wire never
    /// carries a time of day.
    pub deadline_ms: u32,
    /// Bytes of payload behind the body, at most [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes: u64,
    /// Epoch of the sender's cluster map; 0 when it has none.
    pub epoch: u64,
}

impl Header {
    /// A header without payload.
    #[must_use]
    pub fn new(kind: Kind, request: u32) -> Self {
        Self {
            body_bytes: 0,
            kind,
            status: AnswerStatus::Ok,
            request,
            deadline_ms: 0,
            payload_bytes: 0,
            epoch: 0,
        }
    }

    /// Encodes header and body into `out`, setting `body_bytes` from `body` and the check.
    ///
    /// # Panics
    /// If the body is over its limit: that is a bug of the sender.
    pub fn encode(&self, body: &[u8], out: &mut Vec<u8>) {
        assert!(body.len() <= BODY_BYTES_MAX as usize, "body over its limit");
        let start = out.len();
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.push(self.kind as u8);
        out.push(0);
        out.extend_from_slice(&(self.status as u16).to_le_bytes());
        out.extend_from_slice(&self.request.to_le_bytes());
        out.extend_from_slice(&self.deadline_ms.to_le_bytes());
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        let check = check_of(&out[start..], body);
        out.extend_from_slice(&check.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(body);
    }

    /// Decodes a header and its check, which [`Header::verify`] compares once the body is there.
    ///
    /// # Errors
    /// [`WireError`] for an unknown kind or status, or a length over its limit.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Self, u32), WireError> {
        let mut reader = Reader::new("frame header", bytes);
        let body_bytes = reader.count("frame body", BODY_BYTES_MAX)? as u32;
        let kind = Kind::try_from(reader.u8()?)?;
        let flags = reader.u8()?;
        if flags != 0 {
            return Err(WireError::Unknown {
                what: "frame flags",
                value: u64::from(flags),
            });
        }
        let status = AnswerStatus::try_from(reader.u16()?)?;
        let request = reader.u32()?;
        let deadline_ms = reader.count("deadline", DEADLINE_MS_MAX)? as u32;
        let payload_bytes = reader.u64()?;
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(WireError::OverLimit {
                what: "frame payload",
                value: payload_bytes,
                limit: PAYLOAD_BYTES_MAX,
            });
        }
        let epoch = reader.u64()?;
        let check = reader.u32()?;
        let header = Self {
            body_bytes,
            kind,
            status,
            request,
            deadline_ms,
            payload_bytes,
            epoch,
        };
        Ok((header, check))
    }

    /// Compares the check of a received frame.
    ///
    /// # Errors
    /// [`WireError::BadCheck`] when header or body were altered on the way.
    pub fn verify(bytes: &[u8; HEADER_BYTES], check: u32, body: &[u8]) -> Result<(), WireError> {
        let computed = check_of(&bytes[..32], body);
        if computed == check {
            return Ok(());
        }
        Err(WireError::BadCheck {
            found: check,
            computed,
        })
    }
}

fn check_of(head: &[u8], body: &[u8]) -> u32 {
    let mut sum = Crc32c::new();
    sum.update(head);
    sum.update(body);
    sum.value()
}
