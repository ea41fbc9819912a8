use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use holdfast_wire::{BlockId, KeyStatus, StatEntry};
use parking_lot::Condvar;

use crate::lane::CopyBlock;
use crate::map::ClusterMap;
use crate::merge::Seen;
use crate::request::{Request, RequestKind};
use crate::stripe::{DecodeBatch, Stripes};
use crate::{ClientError, Segments};

/// What a call does with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Which keys are stored.
    Exists,
    /// Read blocks into segments.
    Get,
    /// Write blocks from segments.
    Put,
    /// Remove blocks.
    Delete,
    /// Keep blocks for a while.
    Pin,
    /// Facts about blocks.
    Stat,
}

impl OperationKind {
    /// Whether every node that may hold a key is asked, not one after the other.
    pub(crate) fn asks_all(self) -> bool {
        !matches!(self, Self::Exists | Self::Get)
    }

    pub(crate) fn request(self) -> RequestKind {
        match self {
            Self::Exists => RequestKind::Exists,
            Self::Get => RequestKind::Get,
            Self::Put => RequestKind::Put,
            Self::Delete => RequestKind::Delete,
            Self::Pin => RequestKind::Pin,
            Self::Stat => RequestKind::Stat,
        }
    }

    fn served(self, status: KeyStatus) -> bool {
        match self {
            Self::Put => matches!(status, KeyStatus::Stored | KeyStatus::Present),
            _ => status == KeyStatus::Hit,
        }
    }
}

/// What became of an operation.
#[derive(Debug, Default)]
pub struct OperationResult {
    /// One status a key.
    pub statuses: Vec<KeyStatus>,
    /// Why keys were not served, counted; `copy_lost` counts keys stored on fewer nodes than
    /// the space asks for.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Of a stat: the node that holds each key, and its facts.
    pub stats: Vec<Option<(u64, StatEntry)>>,
}

/// The part of an operation that its owner holds.
pub(crate) struct OperationShared {
    pub token: u64,
    pub result: OnceLock<OperationResult>,
    /// Signalled when it ends, when its owner must drive, or when a copy has stopped.
    pub changed: Condvar,
}

impl OperationShared {
    pub(crate) fn new(token: u64) -> Self {
        Self {
            token,
            result: OnceLock::new(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn done(&self) -> bool {
        self.result.get().is_some()
    }

    pub(crate) fn result(&self) -> Result<&OperationResult, ClientError> {
        self.result.get().ok_or(ClientError::NotDone)
    }
}

/// What is known of one key of a running operation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyState {
    /// Next candidate to ask.
    pub next: u8,
    /// Answers that are still out.
    pub open: u8,
    pub decided: bool,
    /// An owner declined it by another map than the operation's.
    pub declined: bool,
    /// That map is newer than the operation's.
    pub awaits_map: bool,
    /// A node that says busy of it may soon not any more: its put was on a lane that this client
    /// has closed, which the node has not noticed yet. Of striped blocks: a node that was busy or
    /// did not greet is worth another try.
    pub cut: bool,
    pub seen: Seen,
}

/// Blocks of one request that lie in shared memory and are to be copied.
pub(crate) struct CopyBatch {
    pub node: u64,
    pub request: Box<Request>,
    pub blocks: VecDeque<CopyBlock>,
    /// Places in the request whose copy did not match.
    pub mismatched: Vec<usize>,
    /// The write that each of them was of.
    pub corrupt: Vec<(BlockId, u32)>,
}

/// An operation under way.
pub(crate) struct Running {
    pub shared: Arc<OperationShared>,
    pub kind: OperationKind,
    pub space: u32,
    pub copies: usize,
    pub block_bytes: usize,
    pub ids: Vec<BlockId>,
    pub segments: Option<Arc<Segments>>,
    /// Put whose checksums are known before it is sent: one a key, of striped blocks one a chunk,
    /// all keys of a slot together.
    pub checksums: Vec<u32>,
    /// Pin: duration, ms. Put: write id.
    pub argument: u32,
    pub first_position: u32,
    pub deadline: Instant,
    /// When a silent node is given up for the next candidate.
    pub hedge_at: Option<Instant>,
    pub map: Arc<ClusterMap>,
    pub keys: Vec<KeyState>,
    pub statuses: Vec<KeyStatus>,
    pub stats: Vec<Option<(u64, StatEntry)>>,
    /// Keys that are asked for again later, by a timer or when a newer map comes.
    pub put_off: Vec<u32>,
    /// Whether a timer is set for that.
    pub again_set: bool,
    /// How often keys were put off.
    pub tries: u32,
    /// Newest map by which an owner has declined a key.
    pub awaited_epoch: u64,
    /// Keys without a status.
    pub undecided: usize,
    /// Lanes that carry or carried its requests.
    pub lanes: Vec<u64>,
    pub copy_batches: VecDeque<CopyBatch>,
    /// Of a space whose blocks are striped.
    pub stripes: Option<Box<Stripes>>,
    /// Stripes that wait to be computed.
    pub decode: Option<DecodeBatch>,
    /// Threads that copy or compute for it right now.
    pub copying: usize,
    /// It was ended from outside; it is finished when nobody copies any more.
    pub ending: Option<KeyStatus>,
    pub notify: bool,
    /// Nobody holds it any more.
    pub orphaned: bool,
    pub payload_bytes: u64,
    /// Duplicates of a put: (place, place of the first).
    pub duplicates: Vec<(u32, u32)>,
}

impl Running {
    /// Whether nobody may be waiting for it, so that the background thread drives it.
    pub(crate) fn in_background(&self) -> bool {
        self.notify || self.orphaned
    }

    /// Gives a key its status.
    pub(crate) fn decide(&mut self, key: u32, status: KeyStatus) {
        let state = &mut self.keys[key as usize];
        if state.decided {
            return;
        }
        state.decided = true;
        self.statuses[key as usize] = status;
        self.undecided -= 1;
    }

    /// One answer for a key of an operation that asks all; decides or puts off when it was the
    /// last.
    pub(crate) fn count_answer(&mut self, key: u32, status: KeyStatus) {
        let state = &mut self.keys[key as usize];
        state.seen.add(status);
        state.open = state.open.saturating_sub(1);
        if state.open == 0 {
            let merged = self.merged(key);
            if self.puts_off(key, merged) {
                self.put_off.push(key);
            } else {
                self.decide(key, merged);
            }
        }
    }

    /// What the answers so far make of a key.
    pub(crate) fn merged(&self, key: u32) -> KeyStatus {
        if let Some(status) = self.stored_status(key) {
            return status;
        }
        let seen = self.keys[key as usize].seen;
        match self.kind {
            OperationKind::Put => seen.put(),
            OperationKind::Delete => seen.delete(),
            _ => seen.read(),
        }
    }

    /// The result, once every key is decided.
    pub(crate) fn result(&mut self) -> OperationResult {
        for (place, first) in &self.duplicates {
            self.statuses[*place as usize] = self.statuses[*first as usize];
        }
        let mut reasons = BTreeMap::new();
        for (key, status) in self.statuses.iter().enumerate() {
            if !self.kind.served(*status) {
                *reasons.entry(reason(*status)).or_insert(0) += 1;
            } else if self.kind == OperationKind::Put
                && (self.keys[key].seen.degraded() || self.lacks_chunks(key))
            {
                *reasons.entry("copy_lost").or_insert(0) += 1;
            }
        }
        OperationResult {
            statuses: std::mem::take(&mut self.statuses),
            reasons,
            stats: std::mem::take(&mut self.stats),
        }
    }
}

fn reason(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Miss => "absent",
        KeyStatus::Hit | KeyStatus::Stored | KeyStatus::Present => "served",
        KeyStatus::Busy => "busy",
        KeyStatus::Refused => "refused",
        KeyStatus::Unknown => "unknown",
        KeyStatus::Corrupt => "corrupt",
        KeyStatus::NotOwner => "not_owner",
        KeyStatus::TimedOut => "timed_out",
        KeyStatus::Unreachable => "node_down",
        KeyStatus::Cancelled => "cancelled",
    }
}
