use super::{Admission, BlockKind, BlockWord, Clock, EvictionPolicy, Ranking};

/// Least recently used first: the plain twin of the reuse policy, for comparison in tests.
#[derive(Debug, Default)]
pub(crate) struct RecencyPolicy;

impl EvictionPolicy for RecencyPolicy {
    fn resize(&mut self, _slots: u64) {}

    fn recall(&mut self, _hash: u64) -> u32 {
        0
    }

    fn admit(&mut self, clock: &Clock, admission: Admission) -> BlockWord {
        BlockWord::new(clock.tick(), 1, admission.position, BlockKind::Ordinary)
    }

    fn touch(&mut self, clock: &Clock, word: BlockWord) -> BlockWord {
        word.touched(clock.tick(), true)
    }

    fn evicted(&mut self, _hash: u64, _word: BlockWord) {}

    fn ranking(&mut self, clock: &Clock) -> Ranking {
        Ranking {
            tick: clock.tick(),
            ..Ranking::default()
        }
    }

    fn heap_bytes(&self) -> u64 {
        0
    }
}
