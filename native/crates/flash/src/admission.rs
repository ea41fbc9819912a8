use holdfast_engine::Millis;

use crate::AdmissionConfig;

/// What of the cache blocks is written at all: within a budget of bytes, first what was asked for
/// before.
///
/// With more than half of what may be saved up, every block is admitted. With less, only blocks
/// whose id is remembered from an earlier put or miss: a scan, whose blocks come once, then wears
/// nothing out. With nothing left, none.
#[derive(Debug)]
pub(crate) struct Admission {
    rate: f64,
    saved_max: f64,
    saved: f64,
    at: Millis,
    /// Memory of ids: one cell a hash, a later id overwrites an earlier one.
    ghost: Box<[u32]>,
}

impl Admission {
    /// By this configuration, with a full budget.
    pub(crate) fn new(config: &AdmissionConfig) -> Self {
        let rate = config.write_bytes_per_s as f64;
        let cells = if config.write_bytes_per_s == 0 {
            0
        } else {
            config.ghost_ids as usize
        };
        let saved_max = rate * f64::from(config.burst_s);
        Self {
            rate,
            saved_max,
            saved: saved_max,
            at: 0,
            ghost: vec![0; cells].into_boxed_slice(),
        }
    }

    /// Whether there is a budget at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.rate > 0.0
    }

    /// Memory held, bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        self.ghost.len() as u64 * 4
    }

    fn cell(&self, hash: u64) -> (usize, u32) {
        let cell = ((hash >> 32) * self.ghost.len() as u64) >> 32;
        (cell as usize, hash as u32 | 1)
    }

    /// Whether a block of so many bytes is written; if so, the budget is charged.
    pub(crate) fn admit(&mut self, hash: u64, bytes: u64, now: Millis) -> bool {
        if !self.is_limited() {
            return true;
        }
        self.refill(now);
        let known = self.saw(hash);
        let admitted = self.saved > self.saved_max / 2.0 || (known && self.saved > 0.0);
        if admitted {
            self.saved -= bytes as f64;
        }
        admitted
    }

    /// Remembers an id; whether it was remembered.
    pub(crate) fn saw(&mut self, hash: u64) -> bool {
        if self.ghost.is_empty() {
            return false;
        }
        let (cell, tag) = self.cell(hash);
        std::mem::replace(&mut self.ghost[cell], tag) == tag
    }

    /// Bytes are written that nobody asks about.
    pub(crate) fn charge(&mut self, bytes: u64) {
        if self.is_limited() {
            self.saved = (self.saved - bytes as f64).max(-self.saved_max);
        }
    }

    fn refill(&mut self, now: Millis) {
        let passed_ms = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        let earned = self.rate * passed_ms as f64 / 1000.0;
        self.saved = (self.saved + earned).min(self.saved_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited() -> Admission {
        Admission::new(&AdmissionConfig {
            write_bytes_per_s: 1000,
            burst_s: 10,
            ghost_ids: 1024,
        })
    }

    fn hash(number: u64) -> u64 {
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[test]
    fn without_a_budget_everything_is_admitted() {
        let mut admission = Admission::new(&AdmissionConfig::default());
        assert!((0..1000).all(|number| admission.admit(hash(number), 1 << 30, 0)));
    }

    #[test]
    fn a_scan_is_cut_off_and_what_comes_again_is_not() {
        let mut admission = limited();
        let scanned = (0..100).filter(|&number| admission.admit(hash(number), 1000, 0));
        assert_eq!(scanned.count(), 5, "half of what is saved up");
        assert!(admission.admit(hash(50), 1000, 0), "the scan had it before");
        let again = (51..100).filter(|&number| admission.admit(hash(number), 1000, 0));
        assert_eq!(again.count(), 4, "until nothing is left");
        assert!(!admission.admit(hash(3), 1000, 0));
        assert!(
            admission.admit(hash(4), 1000, 1000),
            "a second earns a thousand bytes"
        );
        assert!(!admission.admit(hash(1000), 1000, 1000));
        assert!(
            admission.admit(hash(2000), 1000, 20_000),
            "all is saved up again"
        );
    }
}
