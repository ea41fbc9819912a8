use proptest::prelude::*;

use super::recency::RecencyPolicy;
use super::word::TOUCHES_MAX;
use super::{
    Admission, BlockKind, BlockWord, CHUNK_SLOTS, Clock, EvictionPolicy, Harvest, Ranking,
    ReusePolicy, SlotRanks, position_of_class,
};
use crate::record::Slot;

/// A class of `slots` slots whose clock can be set forward.
struct Bench<P> {
    policy: P,
    clock: Clock,
    slots: u64,
}

impl<P: EvictionPolicy + Default> Bench<P> {
    fn new(slots: u64) -> Self {
        let (mut policy, mut clock) = (P::default(), Clock::new(0));
        policy.resize(slots);
        clock.resize(slots);
        clock.begin_batch(0, slots);
        Self {
            policy,
            clock,
            slots,
        }
    }

    fn admit(&mut self, position: u32) -> BlockWord {
        self.clock.inserted();
        let admission = Admission {
            hash: 1,
            recalled: 0,
            position,
            deepest: false,
        };
        self.policy.admit(&self.clock, admission)
    }

    fn admit_as(&mut self, hash: u64, deepest: bool) -> BlockWord {
        self.clock.inserted();
        let admission = Admission {
            hash,
            recalled: 0,
            position: 9,
            deepest,
        };
        self.policy.admit(&self.clock, admission)
    }

    fn pass(&mut self, inserts: u64) {
        for _ in 0..inserts {
            self.admit(0);
        }
        self.clock.begin_batch(0, self.slots);
    }

    fn rank(&mut self, word: BlockWord, priority: u8) -> u32 {
        self.policy.ranking(&self.clock).rank(word, priority)
    }
}

/// What every policy must do.
fn policy_contract<P: EvictionPolicy + Default>() {
    let mut bench = Bench::<P>::new(1000);
    let old = bench.admit(3);
    bench.pass(100);
    let (shallow, deep) = (bench.admit(3), bench.admit(40));
    bench.pass(1);
    assert!(
        bench.rank(old, 0) > bench.rank(shallow, 0),
        "the older goes first"
    );
    assert!(
        bench.rank(deep, 0) > bench.rank(shallow, 0),
        "the deeper goes first"
    );
    assert!(bench.rank(old, 0) > bench.rank(deep, 0), "age before depth");
    bench.pass(50);
    let used = bench.policy.touch(&bench.clock, old);
    assert!(
        bench.rank(used, 0) < bench.rank(shallow, 0),
        "a used block is young"
    );
    assert_eq!(used.position_class(), old.position_class());
    assert_eq!(used.touches(), 2);
    bench.policy.evicted(5, used);
    assert!(bench.policy.recall(5) <= 2);
    assert_eq!(bench.policy.recall(5), 0, "recalled once");
}

#[test]
fn every_policy_keeps_the_contract() {
    policy_contract::<RecencyPolicy>();
    policy_contract::<ReusePolicy>();
}

#[test]
fn priority_and_reuse_make_younger() {
    let mut bench = Bench::<ReusePolicy>::new(1000);
    let block = bench.admit(0);
    bench.pass(600);
    assert!(bench.rank(block, 1) < bench.rank(block, 0));
    let once = bench.admit(0);
    bench.pass(100);
    let used = bench.policy.touch(&bench.clock, once);
    assert_eq!(
        bench.rank(used, 0),
        bench.rank(
            BlockWord::new(bench.clock.tick(), 1, 0, BlockKind::Ordinary),
            0
        )
    );
    // Many evictions are regretted: reuse counts from now on.
    for hash in 0..500u64 {
        let hash = hash << 40;
        bench.policy.evicted(hash, used);
        assert_eq!(bench.policy.recall(hash), 2);
    }
    let fresh = BlockWord::new(bench.clock.tick(), 1, 0, BlockKind::Ordinary);
    assert!(bench.rank(used, 0) < bench.rank(fresh, 0));
}

#[test]
fn deepest_blocks_go_first_only_where_they_never_come_again() {
    for comes_again in [false, true] {
        let mut bench = Bench::<ReusePolicy>::new(1000);
        for round in 0..40u64 {
            let words: Vec<(u64, BlockWord)> = (0..100)
                .map(|step| {
                    (
                        round * 100 + step,
                        bench.admit_as(round * 100 + step, step % 2 == 0),
                    )
                })
                .collect();
            bench.pass(100);
            for (number, word) in words {
                let ordinary = number % 2 == 1;
                if (ordinary || comes_again) && number % 3 == 0 {
                    bench.policy.touch(&bench.clock, word);
                } else {
                    bench.policy.evicted(number, word);
                }
            }
        }
        let tick = bench.clock.tick();
        let deepest = BlockWord::new(tick, 1, 9, BlockKind::Deepest);
        let sample = BlockWord::new(tick, 1, 9, BlockKind::DeepestSample);
        let ordinary = BlockWord::new(tick, 1, 9, BlockKind::Ordinary);
        assert_eq!(bench.rank(sample, 0), bench.rank(ordinary, 0));
        assert_eq!(
            bench.rank(deepest, 0) > bench.rank(ordinary, 0),
            !comes_again
        );
    }
}

proptest! {
    #[test]
    fn words_keep_what_they_are_given(
        tick in any::<u32>(),
        touches in 1u32..30,
        position in any::<u32>(),
        later in 0u32..(1 << 19),
    ) {
        let word = BlockWord::new(tick, touches, position, BlockKind::Deepest);
        prop_assert_eq!(word.touches(), touches.min(TOUCHES_MAX));
        prop_assert_eq!(word.kind(), BlockKind::Deepest);
        prop_assert!(position_of_class(word.position_class()) <= position);
        prop_assert_eq!(word.age(tick.wrapping_add(later)), later as i32);
        let same_use = word.touched(tick.wrapping_add(later), false);
        prop_assert_eq!(same_use.age(tick.wrapping_add(later)), 0);
        prop_assert_eq!(same_use.kind(), BlockKind::Deepest);
        let used = word.touched(tick, true);
        prop_assert_eq!(used.kind(), BlockKind::Ordinary);
        prop_assert_eq!(used.position_class(), word.position_class());
    }
}

/// Slots with given ranks; 0 stands for one that may not be evicted.
struct Ranks(Vec<u32>);

impl SlotRanks for Ranks {
    fn chunks(&self) -> u64 {
        self.0.len().div_ceil(CHUNK_SLOTS as usize) as u64
    }

    fn rank_chunk(&self, chunk: u64, ranking: &Ranking, mut found: impl FnMut(Slot, u32)) {
        let first = chunk as u32 * CHUNK_SLOTS;
        for slot in first..(first + CHUNK_SLOTS).min(self.0.len() as u32) {
            if let Some(rank) = self.rank(slot, ranking) {
                found(slot, rank);
            }
        }
    }

    fn rank(&self, slot: Slot, _ranking: &Ranking) -> Option<u32> {
        Some(self.0[slot as usize]).filter(|&rank| rank > 0)
    }

    fn prefetch_chunk(&self, _chunk: u64) {}
}

proptest! {
    #[test]
    fn a_harvest_takes_the_worst_first(
        mut ranks in prop::collection::vec(0u32..1000, 1..2000),
        scan_slots in 2u32..100,
    ) {
        let mut harvest = Harvest::new(scan_slots, 1 << 20);
        let evictable = ranks.iter().filter(|&&rank| rank > 0).count();
        let mut order = ranks.clone();
        order.sort_unstable_by(|left, right| right.cmp(left));
        // Victims of one round are exact; those of the next were chosen while they were taken.
        let slack = 2 * (ranks.len() / scan_slots as usize + 1) + CHUNK_SLOTS as usize;
        for taken in 0..evictable {
            let slots = Ranks(ranks.clone());
            let slot = harvest.next(&slots, &mut Ranking::default).expect("a victim is left");
            let rank = ranks[slot as usize];
            prop_assert!(rank >= order[(taken + slack).min(order.len() - 1)]);
            ranks[slot as usize] = 0;
        }
        prop_assert_eq!(harvest.next(&Ranks(ranks), &mut Ranking::default), None);
    }
}
