use super::{BlockWord, Clock, EvictionPolicy, Ranking};

/// Least recently used first: the plain twin of the reuse policy, for comparison in tests.
#[derive(Debug, Default)]
pub(crate) struct RecencyPolicy;

impl EvictionPolicy for RecencyPolicy {
    fn resize(&mut self, _slots: u64) {}

    fn admit(&mut self, clock: &Clock, _hash: u64, position: u32, deepest: bool) -> BlockWord {
        BlockWord::new(clock.tick(), 1, position, deepest)
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
