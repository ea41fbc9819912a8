//! Stripes in, shards out: Reed-Solomon over GF(2^8), with the checksums made on the way. No I/O.
//!
//! A block of a space `ec:k+m` is cut into k data shards; m parity shards are made from them, and
//! any k of the k + m give the block back. What a shard is, byte by byte, is drawn in
//! `docs/formats.md`; [`ShardTail`] is the only encoder and decoder of its tail.
//!
//! [`Encoder`] makes parity, [`Decoder`] rebuilds what is missing. Both read blocks where they lie
//! in the caller's memory, as [`Run`]s, and make the CRC-32C of every shard and of the block in
//! the same pass over the bytes.

mod cuts;
mod decoder;
mod encoder;
mod error;
mod field;
mod kernel;
mod matrix;
pub mod measure;
mod plans;
mod scheme;
mod sums;
mod tail;
mod workspace;

pub use cuts::Run;
pub use decoder::{Decoder, Place, PresentShard};
pub use encoder::Encoder;
pub use error::{ErasureError, SchemeError, TailError};
pub use kernel::name as kernel_name;
pub use scheme::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SHARD_ALIGNMENT, Scheme};
pub use sums::StripeSums;
pub use tail::{SHARD_TAIL_BYTES, ShardTail, StripeVersion};
pub use workspace::Workspace;
