//! Measures of the store itself, for benches and tests: replays of traces, memory, restart, speed.

mod index;
mod replay;
mod restart;
mod speed;

pub use index::{IndexMemory, measure_index};
pub use replay::{FlashReplay, REPLAY_BLOCK_BYTES, ReplayError, replay_flash};
pub use restart::{RestartShape, write_sparse_store};
pub use speed::{Speed, measure_speed};
