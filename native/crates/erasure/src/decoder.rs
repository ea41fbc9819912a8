use std::sync::OnceLock;

use crate::cuts::Run;
use crate::encoder::{SCHEMES, number};
use crate::kernel::Sums;
use crate::plans::{Plans, ShardSet};
use crate::workspace::Shard;
use crate::{DATA_SHARDS_MAX, ErasureError, Scheme, ShardTail, StripeVersion, Workspace};

/// Where the bytes of a shard that is present are.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A data shard that was read into its place in the block already.
    InBlock,
    /// In memory of its own, padding included.
    At(&'a [u8]),
}

/// A shard that was read, and found whole.
#[derive(Debug, Clone, Copy)]
pub struct PresentShard<'a> {
    /// What it is.
    pub tail: ShardTail,
    /// CRC-32C of its bytes as they were read, padding included, tail not.
    pub sum: u32,
    /// Where it is.
    pub place: Place<'a>,
}

/// Rebuilds shards from others. One for each scheme, shared by all threads.
pub struct Decoder {
    scheme: Scheme,
    plans: Plans,
}

impl Decoder {
    /// The process's decoder for a scheme.
    #[must_use]
    pub fn of(scheme: Scheme) -> &'static Self {
        static DECODERS: [OnceLock<Decoder>; SCHEMES] = [const { OnceLock::new() }; SCHEMES];
        DECODERS[number(scheme)].get_or_init(|| Self {
            scheme,
            plans: Plans::of(scheme),
        })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Makes a block whole: what of it is not in its place is rebuilt there. Then checks it from
    /// end to end, without another pass: the sums of all data shards must add up to the writer's
    /// sum of the block. Returns the data shards' sums.
    ///
    /// # Errors
    /// [`ErasureError`] when shards are too few, of unlike versions or sizes, or when the block is
    /// not the one that was written; in that case its memory has been written to.
    ///
    /// # Safety
    /// The runs can be read and written, nobody else does meanwhile, and they overlap neither each
    /// other nor a shard.
    pub unsafe fn rebuild_block(
        &self,
        workspace: &mut Workspace,
        version: &StripeVersion,
        block: impl IntoIterator<Item = Run>,
        present: &[PresentShard<'_>],
    ) -> Result<Vec<u32>, ErasureError> {
        self.check(version, present)?;
        let found = workspace.take_runs(block);
        if found != u64::from(version.block_bytes) {
            return Err(ErasureError::BlockBytes {
                found,
                expected: version.block_bytes.to_string(),
            });
        }
        let data = self.scheme.data();
        let block_bytes = version.block_bytes as usize;
        let mut made = ShardSet::EMPTY;
        let mut data_sums = vec![0; data];
        for (index, sum) in data_sums.iter_mut().enumerate() {
            match present.iter().find(|shard| shard.is_in_block(index)) {
                Some(shard) => *sum = shard.sum,
                None => made.insert(index),
            }
        }
        if made != ShardSet::EMPTY {
            let cuts = workspace.cuts(self.scheme, block_bytes);
            let from = self.choose(present)?;
            for index in from.each() {
                workspace
                    .inputs
                    .push(input(present, index, |at| Shard::Cut(cuts[at])));
            }
            let outputs = made.each().map(|index| Shard::Cut(cuts[index]));
            workspace.outputs.extend(outputs);
            let mut sums = [0; DATA_SHARDS_MAX as usize];
            let sums = &mut sums[..made.len()];
            // SAFETY: runs as the caller promises; shards are borrowed and were measured.
            unsafe { self.pass(workspace, from, made, version.shard_bytes(), sums) };
            for (index, sum) in made.each().zip(sums) {
                data_sums[index] = *sum;
            }
        }
        let sum = self.scheme.block_sum(block_bytes, &data_sums);
        if sum != version.block_sum {
            return Err(ErasureError::WrongBlock {
                found: sum,
                expected: version.block_sum,
            });
        }
        Ok(data_sums)
    }

    /// Rebuilds one shard, data or parity, padding included, from any k others that lie in memory
    /// of their own. Returns its sum; [`ShardTail::chunk_sum`] adds the tail.
    ///
    /// # Errors
    /// [`ErasureError`] when shards are too few, or of unlike versions or sizes.
    pub fn rebuild_shard(
        &self,
        workspace: &mut Workspace,
        wanted: &ShardTail,
        present: &[PresentShard<'_>],
        shard: &mut [u8],
    ) -> Result<u32, ErasureError> {
        self.check(&wanted.version, present)?;
        let index = wanted.index;
        if usize::from(index) >= self.scheme.shards() {
            return Err(ErasureError::NoSuchShard {
                index,
                scheme: self.scheme,
            });
        }
        let expected = wanted.version.shard_bytes();
        if shard.len() != expected {
            return Err(ErasureError::ShardBytes {
                index,
                found: shard.len(),
                expected,
            });
        }
        let flat: Vec<PresentShard<'_>> = present
            .iter()
            .filter(|shard| matches!(shard.place, Place::At(_)))
            .copied()
            .collect();
        let from = self.choose(&flat)?;
        let mut made = ShardSet::EMPTY;
        made.insert(usize::from(index));
        workspace.take_runs([]);
        for index in from.each() {
            workspace.inputs.push(input(&flat, index, |_| {
                unreachable!("shards in a block were left out")
            }));
        }
        workspace.outputs.push(Shard::Flat(shard.as_mut_ptr()));
        let mut sum = [0];
        // SAFETY: all shards are borrowed and were measured.
        unsafe { self.pass(workspace, from, made, expected, &mut sum) };
        Ok(sum[0])
    }

    /// # Safety
    /// As [`Workspace::pass`].
    unsafe fn pass(
        &self,
        workspace: &mut Workspace,
        from: ShardSet,
        made: ShardSet,
        shard_bytes: usize,
        sums: &mut [u32],
    ) {
        let factors = self.plans.plan(from, made);
        let sums = Sums {
            inputs: None,
            outputs: Some(sums),
        };
        // SAFETY: as the caller promises.
        unsafe { workspace.pass(&factors, shard_bytes, sums) };
    }

    fn check(
        &self,
        version: &StripeVersion,
        present: &[PresentShard<'_>],
    ) -> Result<(), ErasureError> {
        let scheme = self.scheme;
        if version.scheme != scheme {
            return Err(ErasureError::UnlikeScheme {
                found: version.scheme,
                expected: scheme,
            });
        }
        let shard_bytes = version.shard_bytes();
        let mut seen = ShardSet::EMPTY;
        for shard in present {
            let index = shard.tail.index;
            if usize::from(index) >= scheme.shards() {
                return Err(ErasureError::NoSuchShard { index, scheme });
            }
            if shard.tail.version != *version {
                return Err(ErasureError::UnlikeVersion { index });
            }
            if seen.contains(index.into()) {
                return Err(ErasureError::Twice { index });
            }
            seen.insert(index.into());
            match shard.place {
                Place::InBlock if usize::from(index) >= scheme.data() => {
                    return Err(ErasureError::ParityInBlock { index, scheme });
                }
                Place::At(bytes) if bytes.len() != shard_bytes => {
                    return Err(ErasureError::ShardBytes {
                        index,
                        found: bytes.len(),
                        expected: shard_bytes,
                    });
                }
                Place::InBlock | Place::At(_) => {}
            }
        }
        Ok(())
    }

    /// k of the shards that are present, those first that need no arithmetic.
    fn choose(&self, present: &[PresentShard<'_>]) -> Result<ShardSet, ErasureError> {
        let needed = self.scheme.data();
        let mut chosen = ShardSet::EMPTY;
        let in_block = present.iter().filter(|shard| shard.place_is_block());
        let others = present.iter().filter(|shard| !shard.place_is_block());
        for shard in in_block.chain(others).take(needed) {
            chosen.insert(shard.tail.index.into());
        }
        if chosen.len() < needed {
            return Err(ErasureError::TooFewShards {
                found: chosen.len(),
                scheme: self.scheme,
            });
        }
        Ok(chosen)
    }
}

impl PresentShard<'_> {
    fn place_is_block(&self) -> bool {
        matches!(self.place, Place::InBlock)
    }

    fn is_in_block(&self, index: usize) -> bool {
        self.place_is_block() && usize::from(self.tail.index) == index
    }
}

/// Where shard `index` is read; `cut` says where it lies in the block.
fn input(present: &[PresentShard<'_>], index: usize, cut: impl Fn(usize) -> Shard) -> Shard {
    let shard = present
        .iter()
        .find(|shard| usize::from(shard.tail.index) == index)
        .expect("chosen among those present");
    match shard.place {
        Place::InBlock => cut(index),
        // It is only read: inputs of a pass are not written.
        Place::At(bytes) => Shard::Flat(bytes.as_ptr().cast_mut()),
    }
}
