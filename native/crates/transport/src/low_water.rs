use std::os::fd::AsRawFd;

use crate::Stream;
use crate::stream::set_option;

/// What must have arrived before a stream that carries much payload counts as readable, bytes.
/// Measured on loopback: woken for every segment a reader takes a third of the sender's core
/// away; from two reads' worth on it keeps up with a plain blocking loop (docs/decisions/0011).
const LOW_WATER_BYTES: u32 = 512 << 10;

/// Keeps a stream from being reported readable for every segment of a long payload
/// (`SO_RCVLOWAT`, socket(7)). Reads take what is there all the same.
#[derive(Debug)]
pub struct LowWater {
    set: u32,
}

impl Default for LowWater {
    fn default() -> Self {
        Self { set: 1 }
    }
}

impl LowWater {
    /// Fits the mark to a payload of which `remaining` bytes are still to come; to be called
    /// before waiting for the stream whenever that has changed. The mark is never above what is
    /// still to come, so nothing waits for bytes that nobody sends.
    pub fn follow(&mut self, stream: &Stream, remaining: u64) {
        let low_water = u64::from(LOW_WATER_BYTES);
        let wanted = match self.set {
            1 if remaining >= 2 * low_water => LOW_WATER_BYTES,
            LOW_WATER_BYTES if remaining < low_water => 1,
            unchanged => unchanged,
        };
        if wanted == self.set {
            return;
        }
        let result = set_option(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            wanted as i32,
        );
        // A kernel that does not know the option leaves the mark where it is: at one byte.
        if result.is_ok() {
            self.set = wanted;
        }
    }
}
