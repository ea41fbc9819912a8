/// SplitMix64: one seed, one sequence. Not for secrets.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A write id: never 0.
    pub(crate) fn write_id(&mut self) -> u32 {
        (self.next() as u32).max(1)
    }

    /// Between half of `value` and all of it.
    pub(crate) fn jitter(&mut self, value: u64) -> u64 {
        value / 2 + self.next() % (value / 2 + 1)
    }
}
