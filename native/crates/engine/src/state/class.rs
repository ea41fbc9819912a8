use crate::EvictionConfig;
use crate::eviction::{
    Admission, BlockWord, CHUNK_SLOTS, Clock, EvictionPolicy, Harvest, Ranking, ReusePolicy,
    SlotRanks,
};
use crate::extent::Extents;
use crate::record::{Slot, SlotState};
use holdfast_index::prefetch;

use super::spaces::Spaces;

/// Alignment of every slot, bytes: one cache line.
pub(crate) const SLOT_ALIGN: u64 = 64;

/// Extents of one tenant and block size.
pub(crate) struct Class {
    number: u32,
    pub(crate) tenant: u32,
    /// Bytes from one slot to the next.
    pub(crate) slot_bytes: u64,
    /// Slots that each extent is cut into.
    pub(crate) extent_slots: u32,
    /// Slots in use.
    pub(crate) used: u64,
    /// Extents held.
    pub(crate) extents: Vec<u32>,
    /// Extents that may have room; each is listed once.
    pub(crate) roomy: Vec<u32>,
    pub(crate) clock: Clock,
    pub(crate) policy: ReusePolicy,
    /// Evictions left until the class asks whether another should give up an extent.
    pub(crate) evictions_to_review: u32,
    harvest: Harvest,
    turn: u64,
}

impl Class {
    pub(crate) fn new(
        number: u32,
        tenant: u32,
        block_bytes: u32,
        extents: &Extents,
        extent_bytes: u64,
        eviction: &EvictionConfig,
        engine_time: u64,
    ) -> Self {
        let slot_bytes = u64::from(block_bytes).next_multiple_of(SLOT_ALIGN);
        let extent_slots = (extent_bytes / slot_bytes).min(extents.slots_per_extent_max()) as u32;
        Self {
            number,
            tenant,
            slot_bytes,
            extent_slots,
            used: 0,
            extents: Vec::new(),
            roomy: Vec::new(),
            clock: Clock::new(engine_time),
            policy: ReusePolicy::default(),
            evictions_to_review: 0,
            harvest: Harvest::new(eviction.scan_slots, eviction.window_slots_max),
            turn: 0,
        }
    }

    /// Extents came or went.
    pub(crate) fn resized(&mut self) {
        let slots = self.extents.len() as u64 * u64::from(self.extent_slots);
        self.clock.resize(slots);
        self.policy.resize(slots);
    }

    /// The slot to evict next, if any may be.
    pub(crate) fn victim(&mut self, extents: &Extents, spaces: &Spaces) -> Option<Slot> {
        let slots = ClassSlots {
            class: self.number,
            list: &self.extents,
            chunks_per_extent: u64::from(self.extent_slots.div_ceil(CHUNK_SLOTS)),
            extents,
            spaces,
        };
        let (policy, clock) = (&mut self.policy, &self.clock);
        self.harvest.next(&slots, &mut || policy.ranking(clock))
    }

    /// Engine time of the oldest touch among a sample of blocks; `now` when there is none.
    pub(crate) fn oldest_touch(&mut self, extents: &Extents, now: u64) -> u64 {
        const SAMPLES: u64 = 64;
        let slots = self.extents.len() as u64 * u64::from(self.extent_slots);
        let mut oldest: Option<i32> = None;
        for _ in 0..SAMPLES.min(slots) {
            self.turn = self.turn.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let number = ((u128::from(self.turn) * u128::from(slots)) >> 64) as u64;
            let extent = self.extents[(number / u64::from(self.extent_slots)) as usize];
            let place = (number % u64::from(self.extent_slots)) as u32;
            let record = &extents.extent(extent).records[place];
            if record.is_visible() {
                oldest = oldest.max(Some(record.word.age(self.clock.tick())));
            }
        }
        oldest.map_or(now, |age| self.clock.engine_time_of_age(age.max(0) as u32))
    }

    /// The emptiest of a few extents that nothing holds.
    pub(crate) fn extent_to_give(&mut self, extents: &Extents) -> Option<u32> {
        const SAMPLES: usize = 16;
        let count = self.extents.len();
        let first = self.turn as usize;
        self.turn = self.turn.wrapping_add(SAMPLES as u64);
        (0..count.min(SAMPLES))
            .map(|step| self.extents[(first.wrapping_add(step)) % count])
            .filter(|&number| {
                let extent = extents.extent(number);
                extent.held == 0 && !extent.draining
            })
            .min_by_key(|&number| extents.extent(number).used)
    }

    /// A word for a block that is written.
    pub(crate) fn admit(&mut self, admission: Admission) -> BlockWord {
        self.clock.inserted();
        self.policy.admit(&self.clock, admission)
    }

    /// The word of a block that is used.
    #[inline]
    pub(crate) fn touch(&mut self, word: BlockWord) -> BlockWord {
        self.policy.touch(&self.clock, word)
    }

    /// Memory held, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let lists = (self.extents.capacity() + self.roomy.capacity()) * size_of::<u32>();
        (size_of::<Self>() + lists) as u64 + self.harvest.heap_bytes() + self.policy.heap_bytes()
    }
}

/// The slots of one class as its harvest sees them.
struct ClassSlots<'a> {
    class: u32,
    list: &'a [u32],
    chunks_per_extent: u64,
    extents: &'a Extents,
    spaces: &'a Spaces,
}

impl ClassSlots<'_> {
    fn locate(&self, chunk: u64) -> (u32, usize) {
        let extent = self.list[(chunk / self.chunks_per_extent) as usize];
        let place = (chunk % self.chunks_per_extent) as usize * CHUNK_SLOTS as usize;
        (extent, place)
    }

    fn rank_record(&self, record: &crate::record::Record, ranking: &Ranking) -> Option<u32> {
        if record.is_free() || record.state() != SlotState::Committed {
            return None;
        }
        let space = self.spaces.get(record.space());
        if space.dropped {
            return Some(u32::MAX);
        }
        Some(ranking.rank(record.word, space.priority))
    }
}

impl SlotRanks for ClassSlots<'_> {
    fn chunks(&self) -> u64 {
        self.list.len() as u64 * self.chunks_per_extent
    }

    fn rank_chunk(&self, chunk: u64, ranking: &Ranking, mut found: impl FnMut(Slot, u32)) {
        let (number, first) = self.locate(chunk);
        let extent = self.extents.extent(number);
        if extent.draining {
            return;
        }
        let records = extent.records.as_slice();
        let last = records.len().min(first + CHUNK_SLOTS as usize);
        for (step, record) in records[first..last].iter().enumerate() {
            if let Some(rank) = self.rank_record(record, ranking) {
                found(self.extents.slot(number, (first + step) as u32), rank);
            }
        }
    }

    fn rank(&self, slot: Slot, ranking: &Ranking) -> Option<u32> {
        let number = self.extents.extent_of(slot);
        let extent = self.extents.extent(number);
        let place = self.extents.place_of(slot) as usize;
        // The extent may have left the class since the slot was seen.
        if extent.draining || extent.class != self.class {
            return None;
        }
        self.rank_record(extent.records.as_slice().get(place)?, ranking)
    }

    fn prefetch_chunk(&self, chunk: u64) {
        let (number, first) = self.locate(chunk);
        let records = self.extents.extent(number).records.as_slice();
        for step in (0..CHUNK_SLOTS as usize).step_by(2) {
            if let Some(record) = records.get(first + step) {
                prefetch(record);
            }
        }
    }
}
