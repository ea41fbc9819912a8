use std::sync::Arc;

use holdfast_erasure::{Decoder, Place, PresentShard, Run, ShardTail, StripeVersion, Workspace};

use super::{StripeMemory, Stripes};
use crate::Segments;
use crate::segments::BlockCursor;

/// Blocks whose missing data shards are computed from others. It runs on a thread of the caller,
/// without the client's lock: nothing else touches the operation's memory any more.
pub(crate) struct DecodeBatch {
    pub token: u64,
    memory: Arc<StripeMemory>,
    segments: Arc<Segments>,
    blocks: Vec<DecodeBlock>,
    /// For each key whether it is the block that was written.
    pub results: Vec<(u32, bool)>,
}

struct DecodeBlock {
    key: u32,
    version: StripeVersion,
    shards: Vec<HeldShard>,
}

/// A shard that has arrived.
struct HeldShard {
    slot: usize,
    tail: ShardTail,
    sum: u32,
}

impl DecodeBatch {
    /// The blocks of `stripes` that are to be computed; `None` for an operation without memory.
    pub(super) fn new(token: u64, stripes: &Stripes, segments: &Arc<Segments>) -> Option<Self> {
        let blocks = stripes.computing.iter().filter_map(|key| {
            let (version, _) = stripes.best_version(*key)?;
            Some(DecodeBlock {
                key: *key,
                version,
                shards: stripes.shards_of(*key, &version),
            })
        });
        Some(Self {
            token,
            memory: Arc::clone(stripes.memory.as_ref()?),
            segments: Arc::clone(segments),
            blocks: blocks.collect(),
            results: Vec::new(),
        })
    }

    /// Computes all of them.
    pub(crate) fn compute(&mut self) {
        let mut workspace = Workspace::new();
        for block in &self.blocks {
            let is_block = self.compute_block(&mut workspace, block);
            self.results.push((block.key, is_block));
        }
    }

    fn compute_block(&self, workspace: &mut Workspace, block: &DecodeBlock) -> bool {
        let scheme = self.memory.scheme();
        let number = block.key as usize;
        // A shard that lies in the place of another must not be overwritten before it is read.
        let strays: Vec<Vec<u8>> = block
            .shards
            .iter()
            .map(|shard| match shard.is_astray(scheme.data()) {
                true => self.memory.copy_of_shard(shard.slot, number),
                false => Vec::new(),
            })
            .collect();
        let present: Vec<PresentShard<'_>> = block
            .shards
            .iter()
            .zip(&strays)
            .map(|(shard, stray)| PresentShard {
                tail: shard.tail,
                sum: shard.sum,
                place: match shard.slot {
                    _ if shard.is_astray(scheme.data()) => Place::At(stray),
                    slot if slot < scheme.data() => Place::InBlock,
                    slot => Place::At(self.memory.parity(slot, number)),
                },
            })
            .collect();
        let runs = block_runs(&self.segments, number);
        // SAFETY: the operation holds the caller's memory until it ends, which waits for this
        // batch; nobody owes it anything any more, so nothing else is written meanwhile.
        let rebuilt =
            unsafe { Decoder::of(scheme).rebuild_block(workspace, &block.version, runs, &present) };
        rebuilt.is_ok()
    }
}

impl HeldShard {
    /// Whether it lies in the place of another data shard.
    fn is_astray(&self, data: usize) -> bool {
        self.slot < data && usize::from(self.tail.index) != self.slot
    }
}

/// The pieces of the caller's memory that a block consists of.
pub(super) fn block_runs(segments: &Segments, block: usize) -> Vec<Run> {
    let mut cursor = BlockCursor::default();
    let next = || segments.next(block, &mut cursor, usize::MAX);
    std::iter::from_fn(next)
        .map(|(address, bytes)| Run { address, bytes })
        .collect()
}

impl Stripes {
    /// Shards of a version that have arrived, one of each index.
    fn shards_of(&self, key: u32, version: &StripeVersion) -> Vec<HeldShard> {
        let mut shards: Vec<HeldShard> = Vec::new();
        for slot in self.keys[key as usize].held_slots() {
            let Some(tail) = self.tail(slot, key).filter(|tail| tail.version == *version) else {
                continue;
            };
            let known = shards
                .iter()
                .position(|shard| shard.tail.index == tail.index);
            let sum = self.shard_sum(slot, key, &tail);
            let shard = HeldShard { slot, tail, sum };
            match known {
                // The one that needs no copying is preferred.
                Some(at) if usize::from(tail.index) == slot => shards[at] = shard,
                Some(_) => {}
                None => shards.push(shard),
            }
        }
        shards
    }
}
