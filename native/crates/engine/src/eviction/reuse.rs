use super::ghost::Ghost;
use super::word::TOUCHES_MAX;
use super::{Admission, BlockKind, BlockWord, Clock, EvictionPolicy, Ranking};

/// Share of late returns below which recency alone decides.
const RETURNS_FREE: f64 = 0.035;
/// Growth of the reuse credit with the share of late returns.
const CREDIT_PER_RETURN: f64 = 12.0;
/// Largest credit for each doubling of the touches, residence times.
const CREDIT_MAX: f64 = 0.65;
/// Touches closer together than this part of a residence time count once.
const SAME_USE_PARTS: u32 = 64;
/// Ends of deepest blocks seen before their fate is judged.
const ENDS_MIN: f64 = 48.0;
/// Deepest blocks are debited when reused less than this part as often as others.
const DEEPEST_REUSE_PART: f64 = 0.2;
/// One deepest block in so many is treated as ordinary, so that the debit is judged by blocks
/// that do not suffer it.
const SAMPLE_PARTS: u64 = 8;

/// Recency, with a credit for reuse that fades as room grows.
///
/// A block that was used n times counts as younger by credit x residence time x log2(n). The
/// credit follows the share of *late returns*: of all uses, how many came to a block that was
/// evicted shortly before (a regret), or that is here only because of its credit (a rescue: older
/// than a residence time). When space is short that share is high and reuse tells best who comes
/// back; with room enough there are none and recency is hard to beat. Evicted blocks keep their
/// count in a [`Ghost`], so that a conversation with long pauses is known again.
///
/// The deepest block of a put is special where the caller stores partly filled last blocks: those
/// never come again. Whether they do is measured on a sample of them, and only when they do not do
/// the others go first.
#[derive(Debug, Default)]
pub(crate) struct ReusePolicy {
    ghost: Ghost,
    slots: u64,
    inserts: u64,
    uses: f64,
    regrets: f64,
    rescues: f64,
    /// What became of blocks used once: the sample of deepest ones, and the ordinary ones.
    sample: Fate,
    ordinary: Fate,
}

/// How blocks of one kind ended their first life: used again, or evicted before.
#[derive(Debug, Default)]
struct Fate {
    reused: f64,
    evicted: f64,
}

impl Fate {
    fn fade(&mut self) {
        self.reused /= 2.0;
        self.evicted /= 2.0;
    }

    fn ends(&self) -> f64 {
        self.reused + self.evicted
    }

    fn share_reused(&self) -> f64 {
        self.reused / self.ends().max(1.0)
    }
}

impl ReusePolicy {
    /// Credit for each doubling of the touches, residence times.
    fn credit(&self) -> f64 {
        let returns = self.regrets + self.rescues;
        let share = returns / (self.uses + self.regrets).max(1.0);
        ((share - RETURNS_FREE) * CREDIT_PER_RETURN).clamp(0.0, CREDIT_MAX)
    }

    fn deepest_are_lost(&self) -> bool {
        self.sample.ends() >= ENDS_MIN
            && self.sample.share_reused() < DEEPEST_REUSE_PART * self.ordinary.share_reused()
    }

    /// Old observations weigh half as much every residence time.
    fn fade(&mut self) {
        self.inserts += 1;
        if self.inserts >= self.slots.max(ENDS_MIN as u64) {
            self.inserts = 0;
            self.uses /= 2.0;
            self.regrets /= 2.0;
            self.rescues /= 2.0;
            self.sample.fade();
            self.ordinary.fade();
        }
    }

    /// Where the end of a block's first life is counted; nowhere for those that are debited.
    fn fate(&mut self, word: BlockWord) -> Option<&mut Fate> {
        match word.kind() {
            _ if word.touches() > 1 => None,
            BlockKind::Ordinary => Some(&mut self.ordinary),
            BlockKind::DeepestSample => Some(&mut self.sample),
            BlockKind::Deepest => None,
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
        let kind = match admission.deepest {
            false => BlockKind::Ordinary,
            true if admission.hash.is_multiple_of(SAMPLE_PARTS) => BlockKind::DeepestSample,
            true => BlockKind::Deepest,
        };
        let touches = admission.recalled + 1;
        BlockWord::new(clock.tick(), touches, admission.position, kind)
    }

    fn touch(&mut self, clock: &Clock, word: BlockWord) -> BlockWord {
        let same_use = (clock.residence_ticks() / SAME_USE_PARTS) as i32;
        let counted = word.age(clock.tick()) >= same_use;
        if counted {
            self.uses += 1.0;
            if word.touches() > 1 && word.age(clock.tick()) > clock.residence_ticks() as i32 {
                self.rescues += 1.0;
            }
            if let Some(fate) = self.fate(word) {
                fate.reused += 1.0;
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
        if let Some(fate) = self.fate(word) {
            fate.evicted += 1.0;
        }
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
