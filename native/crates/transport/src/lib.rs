//! Sockets and shared memory under the block protocol: what both of its sides need of the kernel.
//!
//! A [`Stream`] is a nonblocking TCP or Unix connection with vectored I/O on raw memory and, on
//! Unix sockets, descriptors that travel with the bytes. [`MemoryFile`] and [`Mapping`] are the
//! memory that two processes share. Nothing here waits except [`wait`], which has a deadline.
#![warn(missing_docs)]

mod descriptors;
mod io_vector;
mod listener;
mod low_water;
mod memory;
mod stream;
mod wait;

pub use descriptors::DESCRIPTORS_PER_MESSAGE_MAX;
pub use io_vector::{IO_VECTORS_MAX, IoVector};
pub use listener::Listener;
pub use low_water::LowWater;
pub use memory::{Mapping, MemoryFile, RegionKind, classify_region, read_at};
pub use stream::{Family, SocketOptions, Stream};
pub use wait::{Interest, wait};
