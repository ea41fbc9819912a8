use super::Ranking;
use crate::record::Slot;

/// Slots of the first round after a class has filled up.
const WINDOW_FIRST: u64 = 8192;
/// Consecutive slots looked at in one place: four cache lines of records.
pub(crate) const CHUNK_SLOTS: u32 = 8;

/// How a round of victims sees the slots of its class.
pub(crate) trait SlotRanks {
    /// Groups of [`CHUNK_SLOTS`] neighbouring slots, in all.
    fn chunks(&self) -> u64;
    /// Calls back for each slot of a chunk that may be evicted now, with its rank.
    fn rank_chunk(&self, chunk: u64, ranking: &Ranking, found: impl FnMut(Slot, u32));
    /// Rank of one slot; `None` when it may not be evicted now.
    fn rank(&self, slot: Slot, ranking: &Ranking) -> Option<u32>;
    /// Tells that `rank_chunk(chunk)` comes soon.
    fn prefetch_chunk(&self, chunk: u64);
}

/// Finds the slots that rank worst, at a constant cost for each, without a list of all.
///
/// Victims are taken in rounds. While one round's victims are used up, worst first, the next
/// window of slots is looked at, a little with each victim, and its worst 1/`scan_slots` are
/// kept; when the victims run out the window is complete and its worst become the next victims.
/// A class up to `window_slots_max` is one window, so each round is the true bottom of the class.
/// Chunks are visited in a scattered order, so a part of a larger class is a fair sample of it.
#[derive(Debug)]
pub(crate) struct Harvest {
    scan_slots: u64,
    window_slots_max: u64,
    /// Rank above slot number, ascending: the last is the next victim.
    victims: Vec<u64>,
    victims_ranking: Ranking,
    /// The worst of the window so far, unordered.
    worst: Vec<u64>,
    worst_ranking: Ranking,
    /// Keys not above this are not among the worst of the window.
    floor: u64,
    window_slots: u64,
    seen_slots: u64,
    /// Slots to look at for each victim taken.
    pace_slots: u64,
    position: u64,
    open: bool,
}

impl Harvest {
    pub(crate) fn new(scan_slots: u32, window_slots_max: u32) -> Self {
        Self {
            scan_slots: u64::from(scan_slots),
            window_slots_max: u64::from(window_slots_max),
            victims: Vec::new(),
            victims_ranking: Ranking::default(),
            worst: Vec::new(),
            worst_ranking: Ranking::default(),
            floor: 0,
            window_slots: 0,
            seen_slots: 0,
            pace_slots: 0,
            position: 0,
            open: false,
        }
    }

    /// The next victim, or `None` when nothing in the class may be evicted now.
    ///
    /// `ranking` is asked once for each window.
    pub(crate) fn next(
        &mut self,
        slots: &impl SlotRanks,
        ranking: &mut dyn FnMut() -> Ranking,
    ) -> Option<Slot> {
        let mut empty_windows = 0;
        while empty_windows < 2 {
            while let Some(key) = self.victims.pop() {
                self.look(slots, self.pace_slots, ranking);
                let slot = key as u32;
                if slots.rank(slot, &self.victims_ranking) == Some((key >> 32) as u32) {
                    return Some(slot);
                }
            }
            self.look(slots, u64::MAX, ranking);
            if !self.close_window() {
                empty_windows += 1;
            }
        }
        None
    }

    /// Looks at about `budget` slots more, up to the end of the window.
    fn look(&mut self, slots: &impl SlotRanks, budget: u64, ranking: &mut dyn FnMut() -> Ranking) {
        let chunks = slots.chunks();
        if chunks == 0 {
            return;
        }
        if !self.open {
            self.open_window(chunks * u64::from(CHUNK_SLOTS), ranking());
        }
        let step = scatter_step(chunks);
        let keep = self.keep();
        let goal = self
            .window_slots
            .min(self.seen_slots.saturating_add(budget));
        while self.seen_slots < goal {
            self.position = (self.position + step) % chunks;
            slots.prefetch_chunk((self.position + step) % chunks);
            let (floor, worst) = (self.floor, &mut self.worst);
            slots.rank_chunk(self.position, &self.worst_ranking, |slot, rank| {
                let key = u64::from(rank) << 32 | u64::from(slot);
                if key > floor {
                    worst.push(key);
                }
            });
            if self.worst.len() >= 2 * keep + CHUNK_SLOTS as usize {
                self.keep_worst(keep);
            }
            self.seen_slots += u64::from(CHUNK_SLOTS);
        }
    }

    fn open_window(&mut self, class_slots: u64, ranking: Ranking) {
        let grown = (self.window_slots * 2).max(WINDOW_FIRST);
        self.window_slots = grown.min(class_slots).min(self.window_slots_max);
        self.pace_slots = if self.victims.is_empty() {
            self.window_slots
        } else {
            // One victim was taken already; the window ends no later than the victims.
            self.window_slots.div_ceil(self.victims.len() as u64 + 1)
        };
        self.worst_ranking = ranking;
        self.seen_slots = 0;
        self.floor = 0;
        self.worst.clear();
        self.open = true;
    }

    fn keep(&self) -> usize {
        (self.window_slots / self.scan_slots).max(1) as usize
    }

    fn keep_worst(&mut self, keep: usize) {
        if self.worst.len() > keep {
            let cut = self.worst.len() - keep;
            let (_, &mut floor, _) = self.worst.select_nth_unstable(cut);
            self.floor = floor;
            self.worst.drain(..cut);
        }
    }

    /// Makes the window's worst the next victims; false when there are none.
    fn close_window(&mut self) -> bool {
        if !self.open {
            return false;
        }
        self.keep_worst(self.keep());
        self.worst.sort_unstable();
        std::mem::swap(&mut self.victims, &mut self.worst);
        self.victims_ranking = self.worst_ranking;
        self.worst.clear();
        self.open = false;
        !self.victims.is_empty()
    }

    /// Memory held beyond the value itself, bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        ((self.victims.capacity() + self.worst.capacity()) * size_of::<u64>()) as u64
    }
}

/// A step that visits all of `count` places before it repeats, far from its neighbours.
fn scatter_step(count: u64) -> u64 {
    let mut step = (count as f64 * 0.618) as u64;
    while gcd(step.max(1), count) != 1 {
        step += 1;
    }
    step.max(1)
}

fn gcd(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
