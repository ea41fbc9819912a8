//! Measures of the code itself, for benches.

use crate::encoder::Encoder;
use crate::kernel::Sums;
use crate::{ErasureError, Run, Workspace};

/// [`Encoder::encode_block`] without any checksum, to be measured against codes that make none.
///
/// # Errors
/// As [`Encoder::encode_block`].
///
/// # Safety
/// As [`Encoder::encode_block`].
pub unsafe fn encode_unsummed(
    encoder: &Encoder,
    workspace: &mut Workspace,
    block: impl IntoIterator<Item = Run>,
    parity: &mut [&mut [u8]],
) -> Result<(), ErasureError> {
    let shard_bytes = encoder.prepare(workspace, block, parity)?.1;
    let sums = Sums {
        inputs: None,
        outputs: None,
    };
    // SAFETY: as the caller promises; `prepare` has measured parity.
    unsafe { encoder.make(workspace, shard_bytes, sums) };
    Ok(())
}
