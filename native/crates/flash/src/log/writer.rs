use std::collections::VecDeque;
use std::ops::Range;

use super::batch_memory::BatchMemory;
use crate::layout::{
    BATCH_ENTRIES_MAX, BatchHead, Entry, FooterTail, Geometry, PAGE_BYTES, SegmentHead,
    SegmentKind, StoreId, encode_batch, encode_footer,
};
use crate::state::Pending;
use crate::{PageMemory, disk::Span};

/// How far a segment that is written to has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// More batches may come.
    Open,
    /// No more batches; the footer follows when they are on stable storage.
    Closing,
    /// The footer is being written.
    Footing,
    /// A write failed: no more is written to it.
    Broken,
}

/// How far a batch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchStage {
    Flying,
    Written,
    Failed,
}

/// A batch that is not yet known to be on stable storage.
pub(super) struct Batch {
    pub(super) number: u32,
    pub(super) stage: BatchStage,
    /// What has not ended: everything while it flies, then what wants a sync.
    pub(super) items: Vec<Pending>,
    /// Its entries among the segment's.
    entries: Range<usize>,
    /// Where it begins, pages from the beginning of the segment.
    start: u32,
    /// Memory of the write while it flies.
    pub(super) memory: Option<BatchMemory>,
}

/// A segment that is written to.
pub(super) struct Writer {
    pub(super) segment: u32,
    pub(super) kind: SegmentKind,
    pub(super) stage: Stage,
    head: SegmentHead,
    page_next: u32,
    entries: Vec<Entry>,
    pub(super) batches: VecDeque<Batch>,
    batch_next: u32,
    /// Batches on stable storage, from the first.
    synced: u32,
}

impl Writer {
    /// Begins a segment.
    pub(super) fn new(segment: u32, head: SegmentHead) -> Self {
        Self {
            segment,
            kind: head.kind,
            stage: Stage::Open,
            head,
            page_next: 1,
            entries: Vec::new(),
            batches: VecDeque::new(),
            batch_next: 0,
            synced: 0,
        }
    }

    /// Whether a batch of so many entries and payload pages fits before the footer.
    pub(super) fn fits(&self, geometry: &Geometry, entries: usize, payload_pages: u32) -> bool {
        let footer = FooterTail::footer_pages(self.entries.len() + entries);
        let batch = BatchHead::head_pages(entries) + payload_pages;
        entries <= BATCH_ENTRIES_MAX && self.page_next + batch + footer <= geometry.segment_pages()
    }

    /// Batches under way.
    pub(super) fn flying(&self) -> usize {
        let flying = |batch: &&Batch| batch.stage == BatchStage::Flying;
        self.batches.iter().filter(flying).count()
    }

    /// Gives the items their pages and makes a batch of them, which fits. Returns its number and
    /// the pages of its write.
    pub(super) fn begin(&mut self, mut items: Vec<Pending>) -> (u32, u32) {
        let start = self.page_next;
        let mut page = start + BatchHead::head_pages(items.len());
        for item in &mut items {
            item.entry.page = page;
            page += item.entry.payload_pages();
        }
        let entries_start = self.entries.len();
        self.entries.extend(items.iter().map(|item| item.entry));
        let number = self.batch_next;
        self.batches.push_back(Batch {
            number,
            stage: BatchStage::Flying,
            items,
            entries: entries_start..self.entries.len(),
            start,
            memory: None,
        });
        let pages = page - start + u32::from(number == 0);
        self.page_next = page;
        self.batch_next += 1;
        (number, pages)
    }

    /// Puts the memory of a batch together: the pieces of its write, and where it begins, pages
    /// from the beginning of the segment. The segment's head goes along with the first batch.
    pub(super) fn load(&mut self, store: StoreId, number: u32) -> Option<(Vec<Span>, u32)> {
        let (head, synced) = (self.head, self.synced);
        let page_next = self.page_next;
        let next = self
            .batches
            .iter()
            .find(|batch| batch.number == number + 1)
            .map_or(page_next, |batch| batch.start);
        let entries = self.batch(number)?.entries.clone();
        let entries: Vec<Entry> = self.entries[entries].to_vec();
        let batch = self.batch(number)?;
        let batch_head = BatchHead {
            store,
            sequence: head.sequence,
            salt: head.salt,
            number,
            entries: entries.len() as u32,
            pages: next - batch.start,
            synced,
        };
        let head_pages = BatchHead::head_pages(entries.len());
        let mut memory = PageMemory::new(head_pages as usize * PAGE_BYTES);
        encode_batch(&batch_head, &entries, &mut memory);
        let first = number == 0;
        let memory = BatchMemory::new(first.then_some(head), memory, &batch.items);
        let pieces = memory.pieces.clone();
        batch.memory = Some(memory);
        Some((pieces, if first { 0 } else { batch.start }))
    }

    /// The batch of this number.
    pub(super) fn batch(&mut self, number: u32) -> Option<&mut Batch> {
        self.batches.iter_mut().find(|batch| batch.number == number)
    }

    /// How many batches, from the first, a sync that begins now covers.
    pub(super) fn coverable(&self) -> u32 {
        let written = |batch: &&Batch| batch.stage == BatchStage::Written;
        self.synced + self.batches.iter().take_while(written).count() as u32
    }

    /// Whether a sync that begins now would end something.
    pub(super) fn wants_sync(&self) -> bool {
        let written = |batch: &&Batch| batch.stage == BatchStage::Written;
        let mut covered = self.batches.iter().take_while(written);
        let closing = self.stage == Stage::Closing && self.flying() == 0;
        (closing && !self.batches.is_empty()) || covered.any(|batch| !batch.items.is_empty())
    }

    /// Whether something of it is under way or about to begin.
    pub(super) fn is_busy(&self) -> bool {
        self.flying() > 0 || self.wants_sync() || self.stage != Stage::Open
    }

    /// So many batches, from the first, are on stable storage: what waited for that.
    pub(super) fn synced(&mut self, covered: u32) -> Vec<Pending> {
        let mut items = Vec::new();
        while self.synced < covered {
            let Some(batch) = self.batches.pop_front() else {
                break;
            };
            debug_assert_eq!(batch.stage, BatchStage::Written);
            items.extend(batch.items);
            self.synced += 1;
        }
        items
    }

    /// Whether all batches are on stable storage and the footer may be written.
    pub(super) fn is_ready_for_footer(&self) -> bool {
        self.stage == Stage::Closing && self.batches.is_empty()
    }

    /// The footer and where it begins, pages from the beginning of the segment.
    pub(super) fn footer(&self, geometry: &Geometry, closed_at: u64) -> (PageMemory, u32) {
        let pages = FooterTail::footer_pages(self.entries.len());
        let mut memory = PageMemory::new(pages as usize * PAGE_BYTES);
        let tail = FooterTail {
            store: self.head.store,
            sequence: self.head.sequence,
            salt: self.head.salt,
            kind: self.kind,
            entries: 0,
            closed_at,
            entries_crc: 0,
        };
        encode_footer(&tail, &self.entries, &mut memory);
        (memory, geometry.segment_pages() - pages)
    }

    /// All entries: of a segment whose footer could not be written.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Takes what is left of a broken segment once nothing flies and nothing before the failed
    /// batch waits for a sync: items that fail, and entries of what can be read.
    pub(super) fn take_broken(&mut self) -> Option<(Vec<Pending>, Vec<Entry>)> {
        if self.stage != Stage::Broken || self.flying() > 0 || self.wants_sync() {
            return None;
        }
        let first = self.batches.front().map(|batch| batch.entries.start);
        let mut entries = self.entries[..first.unwrap_or(self.entries.len())].to_vec();
        let mut items = Vec::new();
        for batch in self.batches.drain(..) {
            if batch.stage == BatchStage::Written {
                entries.extend_from_slice(&self.entries[batch.entries]);
            }
            items.extend(batch.items);
        }
        Some((items, entries))
    }
}
