use super::{BlockKind, BlockWord, Clock};

/// Bits by which a rank is shifted to leave room for the depth.
const DEPTH_BITS: u32 = 4;
/// Keeps ranks of young and well-reputed blocks above zero.
const RANK_ZERO: i32 = 1 << 26;

/// The rule by which words are ranked for one round, frozen so that ranks of the round compare.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ranking {
    /// Ages are counted to this tick.
    pub(crate) tick: u32,
    /// Ticks by which a block of so many touches counts as younger.
    pub(crate) credit_ticks: [i32; 16],
    /// Ticks by which the deepest block of a put counts as older.
    pub(crate) deepest_debit_ticks: i32,
    /// Ticks by which each step of priority counts as younger.
    pub(crate) priority_ticks: i32,
}

impl Ranking {
    /// Rank of a block: the higher, the sooner it goes; among equals the deepest first.
    #[inline]
    pub(crate) fn rank(&self, word: BlockWord, priority: u8) -> u32 {
        let mut age = word.age(self.tick) - self.credit_ticks[word.touches() as usize];
        if word.kind() == BlockKind::Deepest {
            age += self.deepest_debit_ticks;
        }
        age -= i32::from(priority) * self.priority_ticks;
        let age = (RANK_ZERO + age).clamp(0, (1 << 27) - 1) as u32;
        age << DEPTH_BITS | u32::from(word.position_class())
    }
}

/// What is known of a block that is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    /// Hash of its id.
    pub(crate) hash: u64,
    /// Uses before an earlier eviction; 0 when none is known.
    pub(crate) recalled: u32,
    /// Its place in its prefix.
    pub(crate) position: u32,
    /// Whether it has the largest position of its put.
    pub(crate) deepest: bool,
}

/// How blocks are judged. One value for each class of extents.
///
/// A policy sees hashes and words, never slots: what it remembers of a block must fit the word.
pub(crate) trait EvictionPolicy {
    /// The class has another number of slots now.
    fn resize(&mut self, slots: u64);
    /// How often a block that is not stored was used before it was evicted, if that is known.
    fn recall(&mut self, hash: u64) -> u32;
    /// A block is written.
    fn admit(&mut self, clock: &Clock, admission: Admission) -> BlockWord;
    /// A block is used.
    fn touch(&mut self, clock: &Clock, word: BlockWord) -> BlockWord;
    /// A block was evicted.
    fn evicted(&mut self, hash: u64, word: BlockWord);
    /// The rule for the next round of victims.
    fn ranking(&mut self, clock: &Clock) -> Ranking;
    /// Memory held beyond the value itself, bytes.
    fn heap_bytes(&self) -> u64;
}
