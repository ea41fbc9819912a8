use std::sync::OnceLock;

use holdfast_wire::limits::BLOCK_BYTES_MAX;

use crate::cuts::Run;
use crate::kernel::{Factors, Sums};
use crate::matrix::Matrix;
use crate::workspace::Shard;
use crate::{DATA_SHARDS_MAX, ErasureError, PARITY_SHARDS_MAX, Scheme, StripeSums, Workspace};

/// Makes the parity shards of blocks. One for each scheme, shared by all threads.
pub struct Encoder {
    scheme: Scheme,
    factors: Factors,
}

impl Encoder {
    /// The process's encoder for a scheme.
    #[must_use]
    pub fn of(scheme: Scheme) -> &'static Self {
        static ENCODERS: [OnceLock<Encoder>; SCHEMES] = [const { OnceLock::new() }; SCHEMES];
        ENCODERS[number(scheme)].get_or_init(|| {
            let parity: Vec<usize> = (scheme.data()..scheme.shards()).collect();
            Self {
                scheme,
                factors: Factors::of(&Matrix::of_scheme(scheme).rows(&parity)),
            }
        })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Fills the parity shards of one block, and sums block and shards in the same pass.
    ///
    /// # Errors
    /// [`ErasureError`] when the block or the memory for parity has another size than it must.
    ///
    /// # Safety
    /// The runs can be read, and do not overlap parity. If others write to them meanwhile, parity
    /// and sums do not match what is stored, which its readers notice.
    pub unsafe fn encode_block(
        &self,
        workspace: &mut Workspace,
        block: impl IntoIterator<Item = Run>,
        parity: &mut [&mut [u8]],
    ) -> Result<StripeSums, ErasureError> {
        let (block_bytes, shard_bytes) = self.prepare(workspace, block, parity)?;
        let mut shards = vec![0; self.scheme.shards()];
        let (data_sums, parity_sums) = shards.split_at_mut(self.scheme.data());
        let sums = Sums {
            inputs: Some(data_sums),
            outputs: Some(parity_sums),
        };
        // SAFETY: the runs as the caller promises; parity was measured.
        unsafe { self.make(workspace, shard_bytes, sums) };
        let block = self
            .scheme
            .block_sum(block_bytes, &shards[..self.scheme.data()]);
        Ok(StripeSums { block, shards })
    }

    /// [`Self::encode_block`] for each of a batch, (runs, parity) in order.
    ///
    /// # Errors
    /// That of the first block that has one; blocks before it are encoded.
    ///
    /// # Safety
    /// As [`Self::encode_block`], for each block.
    pub unsafe fn encode_batch<'a, B: IntoIterator<Item = Run>>(
        &self,
        workspace: &mut Workspace,
        blocks: impl IntoIterator<Item = (B, &'a mut [&'a mut [u8]])>,
    ) -> Result<Vec<StripeSums>, ErasureError> {
        blocks
            .into_iter()
            // SAFETY: as the caller promises.
            .map(|(block, parity)| unsafe { self.encode_block(workspace, block, parity) })
            .collect()
    }

    /// Lays out block and parity; returns the bytes of the block and of a shard.
    pub(crate) fn prepare(
        &self,
        workspace: &mut Workspace,
        block: impl IntoIterator<Item = Run>,
        parity: &mut [&mut [u8]],
    ) -> Result<(usize, usize), ErasureError> {
        let found = workspace.take_runs(block);
        if found == 0 || found > u64::from(BLOCK_BYTES_MAX) {
            return Err(ErasureError::BlockBytes {
                found,
                expected: format!("1 to {BLOCK_BYTES_MAX}"),
            });
        }
        let block_bytes = found as usize;
        let shard_bytes = self.scheme.shard_bytes(block_bytes);
        self.check_parity(parity, shard_bytes)?;
        let cuts = workspace.cuts(self.scheme, block_bytes);
        let inputs = cuts.iter().take(self.scheme.data()).copied();
        workspace.inputs.extend(inputs.map(Shard::Cut));
        let outputs = parity
            .iter_mut()
            .map(|shard| Shard::Flat(shard.as_mut_ptr()));
        workspace.outputs.extend(outputs);
        Ok((block_bytes, shard_bytes))
    }

    /// Makes the parity of what was prepared.
    ///
    /// # Safety
    /// As [`Self::encode_block`], and parity is still the caller's.
    pub(crate) unsafe fn make(
        &self,
        workspace: &mut Workspace,
        shard_bytes: usize,
        sums: Sums<'_>,
    ) {
        // SAFETY: as the caller promises.
        unsafe { workspace.pass(&self.factors, shard_bytes, sums) };
    }

    fn check_parity(&self, parity: &[&mut [u8]], shard_bytes: usize) -> Result<(), ErasureError> {
        if parity.len() != self.scheme.parity() {
            return Err(ErasureError::ParityShards {
                found: parity.len(),
                scheme: self.scheme,
            });
        }
        for (number, shard) in parity.iter().enumerate() {
            if shard.len() != shard_bytes {
                return Err(ErasureError::ShardBytes {
                    index: (self.scheme.data() + number) as u8,
                    found: shard.len(),
                    expected: shard_bytes,
                });
            }
        }
        Ok(())
    }
}

/// Schemes that there are.
pub(crate) const SCHEMES: usize = DATA_SHARDS_MAX as usize * PARITY_SHARDS_MAX as usize;

/// A scheme's place among all.
pub(crate) fn number(scheme: Scheme) -> usize {
    (scheme.data() - 1) * usize::from(PARITY_SHARDS_MAX) + scheme.parity() - 1
}
