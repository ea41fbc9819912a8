//! Reads what is stored and compares it with the checksum of its writer.

use crate::Node;

/// Blocks that are listed at a time.
const LIST_BLOCKS: usize = 64;

/// What one call of [`Node::scrub`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where the next call goes on; 0 at the end.
    pub next: u64,
    /// Blocks that were read.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks whose bytes were wrong, and which were dropped.
    pub corrupt: u64,
}

impl Node {
    /// Reads blocks from `cursor` on (0 to begin) until about `bytes_max` bytes were read, and drops
    /// those whose bytes do not match their checksum. Takes no recency. What is written meanwhile
    /// may be passed over: its writer's checksum was compared when it was committed.
    pub fn scrub(&self, cursor: u64, bytes_max: u64) -> Scrubbed {
        let engine = &self.shared.engine;
        let mut scrubbed = Scrubbed {
            next: cursor,
            ..Scrubbed::default()
        };
        let mut listed = Vec::with_capacity(LIST_BLOCKS);
        while scrubbed.bytes < bytes_max {
            listed.clear();
            let now_ms = self.shared.clock.monotonic_ms();
            let cursor = scrubbed.next;
            scrubbed.next = engine.list(cursor, LIST_BLOCKS, 1, &|_| true, now_ms, &mut listed);
            for block in &listed {
                scrubbed.blocks += 1;
                scrubbed.bytes += u64::from(block.block_bytes);
                let dropped = engine.drop_if_corrupt(block.space, &block.id, block.write_id);
                scrubbed.corrupt += u64::from(dropped);
            }
            if scrubbed.next == 0 {
                break;
            }
        }
        scrubbed
    }
}
