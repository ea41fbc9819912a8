/// Contiguous bytes of a block in the caller's memory. A block is its runs, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where they are.
    pub address: *mut u8,
    /// How many.
    pub bytes: usize,
}

/// The rest of one data shard inside of a block's runs; behind its bytes it is zeros without end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    run: usize,
    offset: usize,
    /// Bytes of the block that are still to come.
    used: usize,
}

impl Cut {
    /// The shard whose first byte is byte `begin` of the block. `from` is a cut that begins before
    /// it, or a new one.
    pub(crate) fn at(runs: &[Run], from: Option<(Self, usize)>, begin: usize, used: usize) -> Self {
        let (mut cut, before) = from.unwrap_or((Self::start(), 0));
        cut.used = usize::MAX;
        if used > 0 {
            cut.skip(runs, begin - before);
        }
        Self { used, ..cut }
    }

    fn start() -> Self {
        Self {
            run: 0,
            offset: 0,
            used: 0,
        }
    }

    /// Where the next bytes are, and how many of them lie there in one piece; none in the padding.
    pub(crate) fn next(&self, runs: &[Run]) -> (*mut u8, usize) {
        if self.used == 0 {
            return (std::ptr::null_mut(), 0);
        }
        let run = &runs[self.run];
        let address = run.address.wrapping_add(self.offset);
        (address, (run.bytes - self.offset).min(self.used))
    }

    /// Goes on by so many bytes.
    pub(crate) fn skip(&mut self, runs: &[Run], bytes: usize) {
        self.walk(runs, bytes, |_, _, _| ());
    }

    /// Copies the next bytes out, padding included.
    ///
    /// # Safety
    /// The runs can be read, and `to` has room for `bytes` bytes.
    pub(crate) unsafe fn read(&mut self, runs: &[Run], to: *mut u8, bytes: usize) {
        let copied = self.walk(runs, bytes, |from, at, piece| {
            // SAFETY: inside of a run and of `to`, which is apart from the runs.
            unsafe { std::ptr::copy_nonoverlapping(from, to.add(at), piece) }
        });
        // SAFETY: what of `to` is behind the copied bytes.
        unsafe { std::ptr::write_bytes(to.add(copied), 0, bytes - copied) };
    }

    /// Copies the next bytes in; padding goes nowhere.
    ///
    /// # Safety
    /// The runs can be written, and `from` has `bytes` bytes.
    pub(crate) unsafe fn write(&mut self, runs: &[Run], from: *const u8, bytes: usize) {
        self.walk(runs, bytes, |to, at, piece| {
            // SAFETY: inside of a run and of `from`, which is apart from the runs.
            unsafe { std::ptr::copy_nonoverlapping(from.add(at), to, piece) }
        });
    }

    /// Visits (address, offset from here, bytes) of each run that the next bytes lie in, and goes
    /// on behind them. Returns how many there were before the padding.
    fn walk(
        &mut self,
        runs: &[Run],
        bytes: usize,
        mut visit: impl FnMut(*mut u8, usize, usize),
    ) -> usize {
        let wanted = bytes.min(self.used);
        let mut at = 0;
        while at < wanted {
            let run = &runs[self.run];
            let piece = (run.bytes - self.offset).min(wanted - at);
            visit(run.address.wrapping_add(self.offset), at, piece);
            at += piece;
            self.offset += piece;
            if self.offset == run.bytes {
                self.offset = 0;
                self.run += 1;
            }
        }
        self.used -= wanted;
        wanted
    }
}
