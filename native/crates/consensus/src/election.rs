//! Election timeouts from the host's seed, in place of the `raft` crate's own thread generator.

/// The protocol state that a draw belongs to: term and role.
type Era = (u64, raft::StateRole);

/// Draws a timeout for every term or role, whatever the crate drew for itself.
///
/// The crate draws anew whenever it becomes follower, candidate or leader, which always changes term
/// or role. Following those two instead of the crate's value keeps the sequence reproducible.
#[derive(Debug)]
pub(crate) struct ElectionTimeouts {
    state: u64,
    least_ticks: u64,
    current_ticks: u64,
    era: Option<Era>,
}

impl ElectionTimeouts {
    /// Timeouts in `[election_ticks, 2 * election_ticks)`.
    pub(crate) fn new(seed: u64, election_ticks: u32) -> Self {
        Self {
            state: seed,
            least_ticks: election_ticks.into(),
            current_ticks: election_ticks.into(),
            era: None,
        }
    }

    /// The timeout for this term and role; a new draw when either changed.
    pub(crate) fn ticks_in(&mut self, era: Era) -> usize {
        if self.era != Some(era) {
            self.era = Some(era);
            self.current_ticks = self.least_ticks + self.next_u64() % self.least_ticks;
        }
        self.current_ticks as usize
    }

    /// Replaces the current draw until the next one.
    pub(crate) fn replace(&mut self, ticks: u64) {
        debug_assert!(self.allows(ticks));
        self.current_ticks = ticks;
    }

    /// Whether a timeout is within the range of draws.
    pub(crate) fn allows(&self, ticks: u64) -> bool {
        (self.least_ticks..2 * self.least_ticks).contains(&ticks)
    }

    /// splitmix64.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
