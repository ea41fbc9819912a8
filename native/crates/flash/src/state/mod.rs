//! What the store's lock guards: index, segments, queues, counters. No payload byte is touched
//! here, nothing waits.

mod append;
mod lookup;
mod queue;
mod reclaim;
mod segments;
mod settle;

use std::collections::VecDeque;
use std::io;

use holdfast_engine::Millis;
use holdfast_index::Slot;

use crate::FlashConfig;
use crate::admission::Admission;
use crate::index::{Index, Record};
use crate::layout::{Geometry, PAGE_BYTES, SegmentKind, StoreId, pages_of};
use crate::stats::{Counters, FlashStats, KindStats};
use crate::types::{ReadDone, ReadInto};

pub(crate) use append::{NewBlock, Reserved};
pub(crate) use queue::{DeleteEnd, End, Payload, Pending, Queue, Target};
pub(crate) use reclaim::Fate;
pub(crate) use segments::{SegmentState, Segments};
pub(crate) use settle::Ended;

/// Ticks of the reuse clock in one residence time.
pub(crate) const TICKS_PER_RESIDENCE: f64 = 16.0;
/// Segments that stay free for what reclaim moves.
pub(crate) const RESERVE_SEGMENTS: u32 = 1;
/// Part of a durable segment's pages that live blocks may fill on average, percent: the rest is
/// for heads, for ends of segments, and for what is dead and not yet cleaned.
const DURABLE_FILL_PERCENT: u64 = 70;
/// Durable segments that are not counted as room: one open, one that is cleaned.
const DURABLE_SPARE_SEGMENTS: u32 = 2;

/// Whether the store still does everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does.
    Serving,
    /// It reads, and writes nothing any more.
    Failed,
}

/// A read that waits.
pub(crate) struct QueuedRead {
    /// What is read, and where to.
    pub(crate) read: ReadInto,
    /// Who is told.
    pub(crate) done: ReadDone,
}

/// Everything behind the lock.
pub(crate) struct State {
    pub(crate) config: FlashConfig,
    pub(crate) geometry: Geometry,
    pub(crate) store: StoreId,
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) queues: [Queue; 2],
    /// Payload of appends that are queued or being written, bytes.
    pub(crate) queued_bytes: u64,
    /// The same of durable ones, pages.
    pub(crate) durable_queued_pages: u64,
    pub(crate) reads: VecDeque<QueuedRead>,
    pub(crate) admission: Admission,
    pub(crate) counters: Counters,
    pub(crate) health: Health,
    /// No more is taken.
    pub(crate) stopping: bool,
    /// The latest time that was passed in.
    pub(crate) now: Millis,
    /// Ticks of the reuse clock: it goes on as cache segments are written.
    clock: f64,
}

/// Place of a kind in a pair of things.
pub(crate) fn of_kind(kind: SegmentKind) -> usize {
    match kind {
        SegmentKind::Cache => 0,
        SegmentKind::Durable => 1,
    }
}

impl State {
    /// The state of a store without blocks.
    pub(crate) fn new(
        config: &FlashConfig,
        geometry: Geometry,
        store: StoreId,
        now: Millis,
    ) -> io::Result<Self> {
        Ok(Self {
            geometry,
            store,
            index: Index::new(config.blocks_max)?,
            segments: Segments::new(geometry),
            queues: [Queue::default(), Queue::default()],
            queued_bytes: 0,
            durable_queued_pages: 0,
            reads: VecDeque::new(),
            admission: Admission::new(&config.admission),
            counters: Counters::default(),
            health: Health::Serving,
            stopping: false,
            now,
            clock: 0.0,
            config: config.clone(),
        })
    }

    /// Notes the time; it does not go back.
    pub(crate) fn note(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    /// Tick of the reuse clock.
    pub(crate) fn tick(&self) -> u8 {
        (self.clock as u64 % 64) as u8
    }

    /// So many pages were written to cache segments.
    pub(crate) fn advance_clock(&mut self, pages: u32) {
        let durable = self.segments.in_use(SegmentKind::Durable);
        let segments = self.geometry.segments().saturating_sub(durable).max(1);
        let room = f64::from(segments) * f64::from(self.geometry.segment_pages());
        self.clock += f64::from(pages) * TICKS_PER_RESIDENCE / room;
    }

    /// Durable segments that there may be.
    pub(crate) fn durable_segments_max(&self) -> u32 {
        let percent = u64::from(self.config.durable_percent);
        if percent == 0 {
            return 0;
        }
        let share = u64::from(self.geometry.segments()) * percent / 100;
        (share as u32).max(DURABLE_SPARE_SEGMENTS + 1)
    }

    /// Pages that live durable blocks may take.
    pub(crate) fn durable_pages_max(&self) -> u64 {
        let segments = self
            .durable_segments_max()
            .saturating_sub(DURABLE_SPARE_SEGMENTS);
        let pages = u64::from(segments) * u64::from(self.geometry.segment_pages());
        pages * DURABLE_FILL_PERCENT / 100
    }

    /// Pages of a block's payload.
    pub(crate) fn pages_of_record(&self, record: &Record) -> u32 {
        pages_of(self.index.space_of(record).block_bytes.into())
    }

    /// Forgets a block that could be read.
    pub(crate) fn forget(&mut self, slot: Slot) {
        let record = *self.index.record(slot);
        let pages = self.pages_of_record(&record);
        if let Some(page) = record.place.page() {
            self.segments.remove_live(page, pages);
        }
        self.index.remove(slot);
    }

    /// Forgets the block of a slot if it still lies at `page`.
    pub(crate) fn forget_at(&mut self, slot: Slot, page: u64) -> bool {
        let there = slot < self.index.slots_used()
            && self.index.record(slot).place.space() != 0
            && self.index.record(slot).place.page() == Some(page);
        if there {
            self.forget(slot);
        }
        there
    }

    /// Whether a record's time is over, or its space dropped.
    pub(crate) fn is_over(&self, record: &Record) -> bool {
        let space = self.index.space_of(record);
        space.dropped || space.is_expired(record.place.birth(), self.now)
    }

    /// Counters and gauges.
    pub(crate) fn stats(&self) -> FlashStats {
        let kind = |kind| {
            let mut stats = KindStats {
                live_bytes: self.segments.live_pages(kind) * PAGE_BYTES as u64,
                ..KindStats::default()
            };
            let found = self.segments.iter();
            for (_, segment) in found.filter(|(_, segment)| segment.kind == kind) {
                match segment.state {
                    SegmentState::Free => continue,
                    SegmentState::Open => stats.segments_open += 1,
                    SegmentState::Closed => stats.segments_closed += 1,
                    SegmentState::Reclaiming | SegmentState::Wiping => {
                        stats.segments_reclaimed += 1;
                    }
                    SegmentState::Broken | SegmentState::Retired => stats.segments_broken += 1,
                }
                let dead = segment.payload_pages - segment.live_pages;
                stats.dead_bytes += u64::from(dead) * PAGE_BYTES as u64;
            }
            stats
        };
        FlashStats {
            blocks: self.index.blocks(),
            segments_free: self.segments.free_count(),
            cache: kind(SegmentKind::Cache),
            durable: kind(SegmentKind::Durable),
            durable_limit_bytes: self.durable_pages_max() * PAGE_BYTES as u64,
            queued_bytes: self.queued_bytes,
            queued: self
                .queues
                .iter()
                .map(|queue| queue.items.len())
                .sum::<usize>() as u64,
            reads_queued: self.reads.len() as u64,
            index_bytes: self.index.bytes() + self.admission.heap_bytes(),
            failed: self.health == Health::Failed,
            counters: self.counters.clone(),
        }
    }
}
