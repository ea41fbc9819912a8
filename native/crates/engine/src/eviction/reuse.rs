use super::ghost::Ghost;
use super::word::TOUCHES_MAX;
use super::{Admission, BlockWord, Clock, EvictionPolicy, Ranking};

/// Share of regretted evictions below which recency alone decides.
const REGRET_FREE: f64 = 0.035;
/// Growth of the reuse credit with the share of regretted evictions.
const CREDIT_PER_REGRET: f64 = 12.0;
/// Largest credit for each doubling of the touches, residence times.
const CREDIT_MAX: f64 = 0.8;
/// Touches closer together than this part of a residence time count once.
const SAME_USE_PARTS: u32 = 256;
/// Deepest blocks seen before their fate is judged.
const DEEPEST_SEEN_MIN: f64 = 64.0;
/// Deepest blocks are debited when reused less than this part as often as others.
const DEEPEST_REUSE_PART: f64 = 0.2;

/// Recency, with a credit for reuse that fades as room grows.
///
/// A block that was used n times counts as younger by credit x residence time x log2(n). The
/// credit follows the share of *regretted* evictions: of all uses, how many came to a block that
/// was evicted shortly before. When space is short that share is high and reuse tells best who
/// comes back; with room enough nothing is regretted and recency is hard to beat. Evicted blocks
/// keep their count in a [`Ghost`], so that a conversation with long pauses is known again.
///
/// The deepest block of a put is special where the caller stores partly filled last blocks: those
/// never come again. Whether they do is measured, and only then do they go first.
#[derive(Debug, Default)]
pub(crate) struct ReusePolicy {
    ghost: Ghost,
    slots: u64,
    inserts: u64,
    uses: f64,
    regrets: f64,
    /// Blocks written, and used a second time: the deepest of a put, and the others.
    deepest: Fate,
    others: Fate,
}

#[derive(Debug, Default)]
struct Fate {
    written: f64,
    reused: f64,
}

impl Fate {
    fn fade(&mut self) {
        self.written /= 2.0;
        self.reused /= 2.0;
    }

    fn share(&self) -> f64 {
        self.reused / self.written.max(1.0)
    }
}

impl ReusePolicy {
    /// Credit for each doubling of the touches, residence times.
    fn credit(&self) -> f64 {
        let regret = self.regrets / (self.uses + self.regrets).max(1.0);
        ((regret - REGRET_FREE) * CREDIT_PER_REGRET).clamp(0.0, CREDIT_MAX)
    }

    fn deepest_are_lost(&self) -> bool {
        self.deepest.written >= DEEPEST_SEEN_MIN
            && self.others.written >= DEEPEST_SEEN_MIN
            && self.deepest.share() < DEEPEST_REUSE_PART * self.others.share()
    }

    /// Old observations weigh half as much every residence time.
    fn fade(&mut self) {
        self.inserts += 1;
        if self.inserts >= self.slots.max(DEEPEST_SEEN_MIN as u64) {
            self.inserts = 0;
            self.uses /= 2.0;
            self.regrets /= 2.0;
            self.deepest.fade();
            self.others.fade();
        }
    }

    fn fate(&mut self, deepest: bool) -> &mut Fate {
        if deepest {
            &mut self.deepest
        } else {
            &mut self.others
        }
    }
}

impl EvictionPolicy for ReusePolicy {
    fn resize(&mut self, slots: u64) {
        self.slots = slots;
        if !self.ghost.is_empty() {
            self.ghost.resize(slots);
        }
    }

    fn recall(&mut self, hash: u64) -> u32 {
        let recalled = self.ghost.take(hash);
        if recalled.is_some() {
            self.regrets += 1.0;
        }
        recalled.unwrap_or(0)
    }

    fn admit(&mut self, clock: &Clock, admission: Admission) -> BlockWord {
        self.fade();
        let Admission {
            recalled,
            position,
            deepest,
        } = admission;
        self.fate(deepest).written += 1.0;
        BlockWord::new(clock.tick(), recalled + 1, position, deepest)
    }

    fn touch(&mut self, clock: &Clock, word: BlockWord) -> BlockWord {
        let same_use = (clock.residence_ticks() / SAME_USE_PARTS) as i32;
        let counted = word.age(clock.tick()) >= same_use;
        if counted {
            self.uses += 1.0;
            if word.touches() == 1 {
                self.fate(word.is_deepest()).reused += 1.0;
            }
        }
        word.touched(clock.tick(), counted)
    }

    fn evicted(&mut self, hash: u64, word: BlockWord) {
        if self.ghost.is_empty() {
            // Only a class that evicts pays for the memory of evictions.
            self.ghost.resize(self.slots);
        }
        self.ghost.insert(hash, word.touches());
    }

    fn ranking(&mut self, clock: &Clock) -> Ranking {
        let residence = f64::from(clock.residence_ticks());
        let credit = self.credit() * residence;
        let mut credit_ticks = [0; TOUCHES_MAX as usize + 1];
        for (touches, ticks) in credit_ticks.iter_mut().enumerate().skip(1) {
            *ticks = (credit * (touches as f64).log2()) as i32;
        }
        let deepest_debit_ticks = if self.deepest_are_lost() {
            (8.0 * residence) as i32
        } else {
            0
        };
        Ranking {
            tick: clock.tick(),
            credit_ticks,
            deepest_debit_ticks,
            priority_ticks: (residence / 2.0) as i32,
        }
    }

    fn heap_bytes(&self) -> u64 {
        self.ghost.heap_bytes()
    }
}
