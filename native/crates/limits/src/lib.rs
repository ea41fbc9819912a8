//! What this machine can do at most, measured by the plainest code: one TCP stream, one round
//! trip, one memory copy. Benches divide by these; nothing else uses them.
//!
//! A peer process runs [`Peer`]; the measuring process calls [`Probe`]. Both hold the same kind of
//! memory as the system that is compared: a large source set, and a destination that the caller
//! could go on to use.

mod memory;
mod peer;
mod probe;
mod waiting;

pub use memory::copy_blocks;
pub use peer::Peer;
pub use probe::Probe;
pub use waiting::Waiting;
