use std::collections::BTreeMap;

use crate::layout::{ENTRY_BYTES, Entry, Geometry, SegmentKind};

/// Part of a segment that tombstones may fill before older segments are cleaned first, percent.
const TOMBSTONES_PERCENT_MAX: u64 = 25;

/// What may be done with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentState {
    /// Nothing in it; its head is zeroed on stable storage.
    Free,
    /// Written to, or waiting for its footer.
    Open,
    /// Complete, with a footer.
    Closed,
    /// Read only and without a footer, since a write to it failed.
    Broken,
    /// Its live blocks are moved out of it.
    Reclaiming,
    /// Empty; its head is being zeroed.
    Wiping,
    /// Empty, and never used again until the store is opened anew.
    Retired,
}

/// What is known of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// Its place in the order of segments; of a free one, anything.
    pub(crate) sequence: u64,
    /// What it is for; of a free one, anything.
    pub(crate) kind: SegmentKind,
    /// What may be done with it.
    pub(crate) state: SegmentState,
    /// Pages of payloads of blocks that the index names.
    pub(crate) live_pages: u32,
    /// Pages of payloads that were written.
    pub(crate) payload_pages: u32,
    /// Tombstones that were written.
    pub(crate) tombstones: u32,
    /// Reads under way.
    pub(crate) readers: u32,
}

/// The table of segments.
#[derive(Debug)]
pub(crate) struct Segments {
    geometry: Geometry,
    list: Vec<Segment>,
    free: Vec<u32>,
    sequence_next: u64,
    /// Entries of segments without a footer.
    entries: BTreeMap<u32, Vec<Entry>>,
    /// Live pages of each kind.
    live_pages: [u64; 2],
    /// Segments of each kind that are not free.
    in_use: [u32; 2],
}

fn index(kind: SegmentKind) -> usize {
    match kind {
        SegmentKind::Cache => 0,
        SegmentKind::Durable => 1,
    }
}

impl Segments {
    /// All of them free.
    pub(crate) fn new(geometry: Geometry) -> Self {
        let free = Segment {
            sequence: 0,
            kind: SegmentKind::Cache,
            state: SegmentState::Free,
            live_pages: 0,
            payload_pages: 0,
            tombstones: 0,
            readers: 0,
        };
        let count = geometry.segments();
        Self {
            geometry,
            list: vec![free; count as usize],
            // The last is taken first.
            free: (0..count).rev().collect(),
            sequence_next: 1,
            entries: BTreeMap::new(),
            live_pages: [0; 2],
            in_use: [0; 2],
        }
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, segment: u32) -> &Segment {
        &self.list[segment as usize]
    }

    /// One of them, to be changed; its state is changed by [`Segments::set_state`].
    pub(crate) fn get_mut(&mut self, segment: u32) -> &mut Segment {
        &mut self.list[segment as usize]
    }

    /// All of them with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Segment)> {
        (0..).zip(&self.list)
    }

    /// Free ones.
    pub(crate) fn free_count(&self) -> u32 {
        self.free.len() as u32
    }

    /// Those of a kind that are not free.
    pub(crate) fn in_use(&self, kind: SegmentKind) -> u32 {
        self.in_use[index(kind)]
    }

    /// Live pages of a kind.
    pub(crate) fn live_pages(&self, kind: SegmentKind) -> u64 {
        self.live_pages[index(kind)]
    }

    /// Opens a free one, unless only `reserve` are left.
    pub(crate) fn open(&mut self, kind: SegmentKind, reserve: u32) -> Option<u32> {
        if self.free_count() <= reserve {
            return None;
        }
        let segment = self.free.pop()?;
        self.list[segment as usize] = Segment {
            sequence: self.sequence_next,
            kind,
            state: SegmentState::Open,
            live_pages: 0,
            payload_pages: 0,
            tombstones: 0,
            readers: 0,
        };
        self.sequence_next += 1;
        self.in_use[index(kind)] += 1;
        Some(segment)
    }

    /// Takes over one that was found at start.
    pub(crate) fn found(&mut self, segment: u32, kind: SegmentKind, sequence: u64) {
        self.free.retain(|&free| free != segment);
        self.adopt(segment, kind, sequence);
    }

    fn adopt(&mut self, segment: u32, kind: SegmentKind, sequence: u64) {
        self.list[segment as usize] = Segment {
            sequence,
            kind,
            state: SegmentState::Closed,
            live_pages: 0,
            payload_pages: 0,
            tombstones: 0,
            readers: 0,
        };
        self.in_use[index(kind)] += 1;
        self.sequence_next = self.sequence_next.max(sequence + 1);
    }

    /// As [`Segments::found`], for many at a time.
    pub(crate) fn found_all(&mut self, found: &[(u32, SegmentKind, u64)]) {
        let mut used = vec![false; self.list.len()];
        for &(segment, kind, sequence) in found {
            used[segment as usize] = true;
            self.adopt(segment, kind, sequence);
        }
        self.free.retain(|&segment| !used[segment as usize]);
    }

    /// Changes the state of one that is and stays in use.
    pub(crate) fn set_state(&mut self, segment: u32, state: SegmentState) {
        debug_assert_ne!(state, SegmentState::Free);
        self.list[segment as usize].state = state;
    }

    /// Takes one that cannot be read out of use.
    pub(crate) fn retire_unread(&mut self, segment: u32) {
        self.found(segment, SegmentKind::Cache, 0);
        self.set_state(segment, SegmentState::Retired);
    }

    /// Gives one back for use.
    pub(crate) fn free(&mut self, segment: u32) {
        let freed = &mut self.list[segment as usize];
        debug_assert_eq!((freed.live_pages, freed.readers), (0, 0));
        freed.state = SegmentState::Free;
        self.in_use[index(freed.kind)] -= 1;
        self.free.insert(0, segment);
    }

    /// A block of so many pages at `page` is named by the index now.
    pub(crate) fn add_live(&mut self, page: u64, pages: u32) {
        let (segment, _) = self.geometry.split(page);
        let found = &mut self.list[segment as usize];
        found.live_pages += pages;
        self.live_pages[index(found.kind)] += u64::from(pages);
    }

    /// It no longer is.
    pub(crate) fn remove_live(&mut self, page: u64, pages: u32) {
        let (segment, _) = self.geometry.split(page);
        let found = &mut self.list[segment as usize];
        found.live_pages -= pages;
        self.live_pages[index(found.kind)] -= u64::from(pages);
    }

    /// Keeps the entries of a segment that has no footer.
    pub(crate) fn keep_entries(&mut self, segment: u32, entries: Vec<Entry>) {
        self.entries.insert(segment, entries);
    }

    /// The entries of a segment without a footer.
    pub(crate) fn take_entries(&mut self, segment: u32) -> Option<Vec<Entry>> {
        self.entries.remove(&segment)
    }

    /// Whether any other segment of the kind whose head is not zeroed is older: it may hold what
    /// a tombstone of this one hides.
    pub(crate) fn has_older(&self, segment: u32) -> bool {
        let this = self.get(segment);
        self.iter().any(|(_, other)| {
            other.state != SegmentState::Free
                && (other.kind == this.kind || other.sequence == 0)
                && other.sequence < this.sequence
        })
    }

    /// The oldest cache segment that may be reused.
    pub(crate) fn oldest_cache(&self) -> Option<u32> {
        self.iter()
            .filter(|&(number, segment)| {
                segment.kind == SegmentKind::Cache && self.is_complete(number, segment)
            })
            .min_by_key(|(_, segment)| segment.sequence)
            .map(|(number, _)| number)
    }

    /// The durable segment with the fewest live pages, if at least so much of its payload is dead.
    ///
    /// When that one is full of tombstones, which stay as long as anything older does, the oldest
    /// segment instead: so they come to an end.
    pub(crate) fn emptiest_durable(&self, dead_percent_min: u32) -> Option<u32> {
        let durable = || {
            self.iter().filter(|&(number, segment)| {
                segment.kind == SegmentKind::Durable && self.is_complete(number, segment)
            })
        };
        let (number, emptiest) = durable()
            .filter(|(_, segment)| {
                let dead = u64::from(segment.payload_pages - segment.live_pages);
                let least = u64::from(segment.payload_pages) * u64::from(dead_percent_min);
                segment.live_pages == 0 || (dead > 0 && dead * 100 >= least)
            })
            .min_by_key(|(_, segment)| (segment.live_pages, segment.sequence))?;
        let entries = u64::from(emptiest.tombstones) * ENTRY_BYTES as u64;
        if entries * 100 < self.geometry.segment_bytes() * TOMBSTONES_PERCENT_MAX {
            return Some(number);
        }
        let oldest = durable().min_by_key(|(_, segment)| segment.sequence);
        oldest.map(|(number, _)| number)
    }

    /// A durable segment of which nothing must be moved.
    pub(crate) fn dead_durable(&self) -> Option<u32> {
        self.iter()
            .find(|&(number, segment)| {
                segment.kind == SegmentKind::Durable
                    && (segment.live_pages, segment.tombstones) == (0, 0)
                    && self.is_complete(number, segment)
            })
            .map(|(number, _)| number)
    }

    /// Whether it may be reclaimed: it is not written to, and its entries can be had.
    fn is_complete(&self, number: u32, segment: &Segment) -> bool {
        match segment.state {
            SegmentState::Closed => true,
            SegmentState::Broken => self.entries.contains_key(&number),
            _ => false,
        }
    }
}
