use std::sync::Arc;
use std::time::Instant;

use holdfast_wire::{
    AnswerStatus, BlockAnswer, BlockId, KeyStatus, KeysRequest, Kind, OfferedEntry, OfferedPut,
    Piece, PutEntry, PutRequest, StatEntry,
};

use crate::Segments;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Exists,
    Get,
    Put,
    Delete,
    Pin,
    Stat,
    /// The client's own: tells a node of bytes that do not match.
    Report,
    /// The client's own: tells a node of blocks that were read from others.
    Touch,
    /// The client's own: makes a space usable; `space` says which.
    Bind,
    /// The client's own: offers a region; `argument` is its number on the lane.
    Offer,
    /// The client's own: takes a region back.
    Withdraw,
}

impl RequestKind {
    /// Kinds of the frames that answer it, besides the payload's own.
    pub(crate) fn answers(self) -> &'static [Kind] {
        match self {
            Self::Exists | Self::Touch => &[Kind::ExistsAnswer],
            Self::Get => &[Kind::GetAnswer, Kind::Located],
            Self::Put => &[Kind::PutGrant, Kind::PutDone],
            Self::Delete => &[Kind::DeleteAnswer],
            Self::Pin => &[Kind::PinAnswer],
            Self::Stat => &[Kind::StatAnswer],
            Self::Report => &[Kind::ReportAnswer],
            Self::Bind => &[Kind::BindAnswer],
            Self::Offer => &[Kind::OfferAnswer],
            Self::Withdraw => &[Kind::WithdrawAnswer],
        }
    }

    /// Whether it changes what is stored, so that a lost answer leaves its keys unknown.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::Put)
    }
}

/// How far a put has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutStage {
    /// Not answered yet.
    Asked,
    /// Granted; the payload waits behind others or is being sent.
    Granted,
    /// Its payload is wholly in the kernel's hands, or there was none to send.
    Sent,
}

/// One request to one node on behalf of one operation (or of the client itself).
pub(crate) struct Request {
    /// Its number on its lane; 0 until it is sent.
    pub number: u32,
    /// The operation; 0 for the client's own.
    pub operation: u64,
    pub kind: RequestKind,
    pub space: u32,
    /// Pin: duration, ms. Put and report: write id. Offer: the region's number.
    pub argument: u32,
    /// Places of the keys in the operation.
    pub keys: Vec<u32>,
    pub ids: Vec<BlockId>,
    /// Put: position of the operation's first key.
    pub first_position: u32,
    pub block_bytes: usize,
    pub segments: Option<Arc<Segments>>,
    /// Of striped blocks: the slot whose chunks it moves.
    pub slot: Option<u8>,
    /// Get of chunks: CRC-32C of each, as its node says.
    pub sums: Vec<u32>,
    /// Put: the caller's checksum of each of the keys, if they are known already.
    pub checksums: Vec<u32>,
    /// One entry a key, `None` until the node has answered for it.
    pub results: Vec<Option<KeyStatus>>,
    /// Stat: what was answered.
    pub stats: Vec<StatEntry>,
    /// Get: blocks whose bytes did not match, and the write that stored them.
    pub corrupt: Vec<(BlockId, u32)>,
    /// Epoch of the map that its node was chosen by.
    pub map_epoch: u64,
    /// Epoch that the node has answered with.
    pub answered_epoch: u64,
    /// When the operation ends.
    pub deadline: Instant,
    /// When it was handed to a lane.
    pub queued_at: Option<Instant>,
    /// When it was written to the lane.
    pub sent_at: Option<Instant>,
    pub stage: PutStage,
    /// Its operation has ended: whatever still comes is thrown away.
    pub abandoned: bool,
    /// A second look for blocks whose copy out of shared memory did not match.
    pub second_look: bool,
    /// Sent once more to the same node because its lane broke.
    pub retried: bool,
}

impl Request {
    /// A request of the client itself: no operation waits for it.
    pub(crate) fn own(kind: RequestKind, space: u32, deadline: Instant) -> Self {
        Self {
            number: 0,
            operation: 0,
            kind,
            space,
            argument: 0,
            keys: Vec::new(),
            ids: Vec::new(),
            first_position: 0,
            block_bytes: 0,
            segments: None,
            slot: None,
            sums: Vec::new(),
            checksums: Vec::new(),
            results: Vec::new(),
            stats: Vec::new(),
            corrupt: Vec::new(),
            map_epoch: 0,
            answered_epoch: 0,
            deadline,
            queued_at: None,
            sent_at: None,
            stage: PutStage::Asked,
            abandoned: false,
            second_look: false,
            retried: false,
        }
    }

    /// Since when its node may be expected to answer.
    pub(crate) fn asked_at(&self, now: Instant) -> Instant {
        self.sent_at.or(self.queued_at).unwrap_or(now)
    }

    /// The sum of a chunk that it brought, 0 when nothing is known of it.
    pub(crate) fn sum(&self, at: usize) -> u32 {
        self.sums.get(at).copied().unwrap_or(0)
    }

    /// Payload that it moves at most, bytes.
    pub(crate) fn payload_bytes(&self) -> u64 {
        match self.kind {
            RequestKind::Get | RequestKind::Put => self.ids.len() as u64 * self.block_bytes as u64,
            _ => 0,
        }
    }

    /// Appends the body of `Exists`, `Get`, `Delete`, `Pin`, `Stat` and `Report`.
    pub(crate) fn encode_keys(&self, out: &mut Vec<u8>) {
        KeysRequest {
            space: self.space,
            argument: self.argument,
            ids: &self.ids,
        }
        .encode(out);
    }

    /// Appends the body of a `Put`.
    pub(crate) fn encode_put(&self, out: &mut Vec<u8>) {
        let entries = self
            .ids
            .iter()
            .zip(&self.keys)
            .map(|(id, key)| PutEntry {
                id: *id,
                position: self.first_position.saturating_add(*key),
            })
            .collect();
        PutRequest {
            space: self.space,
            write_id: self.argument,
            entries,
        }
        .encode(out);
    }

    /// Appends the body of a `PutOffered`; `number_of` gives the number of a region on the lane.
    pub(crate) fn encode_offered(&self, number_of: impl Fn(u64) -> u32, out: &mut Vec<u8>) {
        let Some(segments) = &self.segments else {
            return;
        };
        let mut pieces = Vec::new();
        let mut entries = Vec::with_capacity(self.ids.len());
        for (at, id) in self.ids.iter().enumerate() {
            let first = pieces.len();
            for (plane, offset) in segments.runs(self.keys[at] as usize) {
                let begin = plane.region.file().map_or(0, |(_, begin)| begin);
                pieces.push(Piece {
                    region: number_of(plane.region.number()),
                    bytes: plane.run_bytes as u32,
                    offset: begin + offset as u64,
                });
            }
            entries.push(OfferedEntry {
                id: *id,
                position: self.first_position.saturating_add(self.keys[at]),
                crc: self.checksums[at],
                pieces: (pieces.len() - first) as u32,
            });
        }
        OfferedPut {
            space: self.space,
            write_id: self.argument,
            entries,
            pieces,
        }
        .encode(out);
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its results are filled in.
    Answered,
    /// Refused as a whole, with the node's words.
    Refused(AnswerStatus, String),
}

/// What a request's status as a whole means for each of its keys.
pub(crate) fn status_of_refusal(status: AnswerStatus) -> KeyStatus {
    match status {
        AnswerStatus::Ok => KeyStatus::Miss,
        AnswerStatus::Busy => KeyStatus::Busy,
        AnswerStatus::DeadlineExceeded => KeyStatus::TimedOut,
        AnswerStatus::StaleEpoch => KeyStatus::NotOwner,
        AnswerStatus::Unauthenticated
        | AnswerStatus::PermissionDenied
        | AnswerStatus::UnknownSpace => KeyStatus::Refused,
        AnswerStatus::Malformed
        | AnswerStatus::VersionSkew
        | AnswerStatus::WrongCluster
        | AnswerStatus::WrongNode
        | AnswerStatus::Unavailable
        | AnswerStatus::Internal => KeyStatus::Unreachable,
    }
}

/// A block that arrives or has arrived: its place in the request and the node's word on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub at: usize,
    pub answer: BlockAnswer,
}
