//! What a node's server promises beyond the answers themselves: who may connect, what happens to
//! peers that stall, break off or talk nonsense, and how it ends.

#[path = "../support/mod.rs"]
mod support;

mod accept;
mod fuzz;
mod garbage;
mod hello;
mod limits;
mod load;
mod moves;
mod pull;
mod shared_memory;
mod stalled;
mod stop;
mod tickets;

use support::ops::Block;
use support::rig::BLOCK_BYTES;
use support::{bytes_of, id_of};

/// A block whose id and bytes follow from a number.
fn block(number: u64) -> Block {
    Block {
        id: id_of(number),
        bytes: bytes_of(number, BLOCK_BYTES as usize),
    }
}
