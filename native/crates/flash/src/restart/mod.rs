//! Opening a store: superblock, heads and footers are read, not data.

mod disk_calls;
mod replay;
mod scan;
mod superblocks;

use std::io;

use holdfast_engine::Millis;

use crate::disk::Disk;
use crate::layout::{
    Entry, FooterTail, Geometry, LayoutError, PAGE_BYTES, SegmentHead, SegmentKind, StoreId,
    decode_footer, encode_footer,
};
use crate::log::FOOTER_READ_PAGES;
use crate::state::{SegmentState, State};
use crate::{FlashConfig, FlashError, PageMemory};
use disk_calls::{read_all, write_all};
use scan::{Scanned, scan};
use superblocks::find_or_create;

/// Heads that are read at a time.
const HEADS_WINDOW: u32 = 256;
/// Footers that are read at a time.
const FOOTERS_WINDOW: usize = 64;

/// What opening a store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The store was created just now.
    pub created: bool,
    /// Segments in all.
    pub segments: u32,
    /// Segments of cache blocks.
    pub segments_cache: u32,
    /// Segments of durable blocks.
    pub segments_durable: u32,
    /// Segments without a footer, which were read batch by batch.
    pub segments_scanned: u32,
    /// Segments whose head could not be read and whose footer could.
    pub segments_headless: u32,
    /// Segments whose head could not be read, and no footer either. They are not used; what lay there is lost.
    pub segments_unreadable: u32,
    /// Entries read.
    pub entries: u64,
    /// Tombstones among them.
    pub tombstones: u64,
    /// Blocks that can be read.
    pub blocks: u64,
    /// Records whose time was over.
    pub expired: u64,
    /// Records that were written in part only.
    pub torn: u64,
    /// Records for which the index had no room.
    pub index_full: u64,
}

/// A segment that is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    segment: u32,
    kind: SegmentKind,
    sequence: u64,
    salt: u64,
}

/// The state of the store on a disk.
pub(crate) fn open_state(
    config: &FlashConfig,
    disk: &mut dyn Disk,
    now: Millis,
) -> Result<(State, OpenReport), FlashError> {
    let (superblock, created) = find_or_create(config, disk, now / 1000)?;
    let geometry = superblock.geometry;
    let mut state = State::new(config, geometry, superblock.store, now)
        .map_err(|source| FlashError::Index { source })?;
    let mut report = OpenReport {
        created,
        segments: geometry.segments(),
        ..OpenReport::default()
    };
    if !created {
        let mut opening = Opening {
            disk,
            geometry,
            store: superblock.store,
            state: &mut state,
            report: &mut report,
        };
        let used = opening.read_heads()?;
        opening.read_footers(&used)?;
    }
    report.blocks = state.index.blocks();
    Ok((state, report))
}

struct Opening<'a> {
    disk: &'a mut dyn Disk,
    geometry: Geometry,
    store: StoreId,
    state: &'a mut State,
    report: &'a mut OpenReport,
}

impl Opening<'_> {
    /// Segments in use: cache before durable, each in the order in which they were opened.
    fn read_heads(&mut self) -> Result<Vec<Used>, FlashError> {
        let mut used = Vec::new();
        let segments = self.geometry.segments();
        for start in (0..segments).step_by(HEADS_WINDOW as usize) {
            let window = start..segments.min(start + HEADS_WINDOW);
            let offset = |segment| (self.geometry.offset(segment, 0), 1);
            let reads: Vec<_> = window.clone().map(offset).collect();
            for (segment, read) in window.zip(read_all(self.disk, &reads)?) {
                used.extend(self.take_head(segment, read)?);
            }
        }
        used.sort_by_key(|used| (used.kind == SegmentKind::Durable, used.sequence));
        let found: Vec<_> = used
            .iter()
            .map(|used| (used.segment, used.kind, used.sequence))
            .collect();
        self.state.segments.found_all(&found);
        let durable = used.iter().filter(|used| used.kind == SegmentKind::Durable);
        self.report.segments_durable = durable.count() as u32;
        self.report.segments_cache = used.len() as u32 - self.report.segments_durable;
        Ok(used)
    }

    fn take_head(
        &mut self,
        segment: u32,
        read: io::Result<PageMemory>,
    ) -> Result<Option<Used>, FlashError> {
        let head = match read {
            Ok(page) => SegmentHead::decode(&page),
            Err(_) => Err(LayoutError::Magic { what: "head" }),
        };
        match head {
            Ok(Some(head)) if head.store == self.store => Ok(Some(Used {
                segment,
                kind: head.kind,
                sequence: head.sequence,
                salt: head.salt,
            })),
            // Of a store that was here before.
            Ok(_) => Ok(None),
            Err(source @ LayoutError::Version { .. }) => Err(FlashError::Version { source }),
            Err(_) => self.take_headless(segment),
        }
    }

    /// A segment whose head is rotten: its footer says as much. A free segment has none.
    fn take_headless(&mut self, segment: u32) -> Result<Option<Used>, FlashError> {
        let last = self.geometry.segment_pages() - 1;
        let read = read_all(self.disk, &[(self.geometry.offset(segment, last), 1)])?;
        let page = read.into_iter().find_map(Result::ok);
        let tail = page.and_then(|page| FooterTail::decode(&page, &self.geometry).ok());
        if let Some(tail) = tail.filter(|tail| tail.store == self.store) {
            self.report.segments_headless += 1;
            return Ok(Some(Used {
                segment,
                kind: tail.kind,
                sequence: tail.sequence,
                salt: tail.salt,
            }));
        }
        self.report.segments_unreadable += 1;
        self.state.segments.retire_unread(segment);
        Ok(None)
    }

    fn read_footers(&mut self, used: &[Used]) -> Result<(), FlashError> {
        let mut scanned = Vec::new();
        for window in used.chunks(FOOTERS_WINDOW) {
            let footers = self.read_window(window)?;
            self.expect(&footers, used.len())?;
            for (used, footer) in window.iter().zip(footers) {
                if let Some(entries) = footer {
                    self.state.replay(used.segment, &entries, self.report);
                    continue;
                }
                let (geometry, store) = (self.geometry, self.store);
                let found = scan(self.disk, &geometry, store, used)?;
                self.report.segments_scanned += 1;
                self.report.torn += found.torn;
                self.state.replay(used.segment, &found.entries, self.report);
                scanned.push((*used, found));
            }
        }
        for (used, found) in scanned {
            self.close(used, found);
        }
        Ok(())
    }

    /// Makes room in the index for as many blocks as there will be, by the first window.
    fn expect(&mut self, footers: &[Option<Vec<Entry>>], used: usize) -> Result<(), FlashError> {
        let known: Vec<usize> = footers.iter().flatten().map(Vec::len).collect();
        if self.report.entries > 0 || known.is_empty() {
            return Ok(());
        }
        let blocks = known.iter().sum::<usize>() / known.len() * used;
        let index = &mut self.state.index;
        index
            .expect(blocks as u64)
            .map_err(|source| FlashError::Index { source })
    }

    /// Entries of each segment of a window; `None` for those without a footer of theirs.
    fn read_window(&mut self, window: &[Used]) -> Result<Vec<Option<Vec<Entry>>>, FlashError> {
        let geometry = self.geometry;
        let pages = geometry.segment_pages();
        let last = |used: &Used, count| (geometry.offset(used.segment, pages - count), count);
        let reads: Vec<_> = window
            .iter()
            .map(|used| last(used, FOOTER_READ_PAGES))
            .collect();
        let first = read_all(self.disk, &reads)?;
        let mut found: Vec<Option<(FooterTail, PageMemory)>> = Vec::new();
        for (used, read) in window.iter().zip(first) {
            found.push(read.ok().and_then(|memory| self.tail_of(used, memory)));
        }
        let longer: Vec<usize> = (0..found.len())
            .filter(|&at| matches!(&found[at], Some((tail, _)) if tail.pages() > FOOTER_READ_PAGES))
            .collect();
        let reads: Vec<_> = longer
            .iter()
            .filter_map(|&at| {
                found[at]
                    .as_ref()
                    .map(|(tail, _)| last(&window[at], tail.pages()))
            })
            .collect();
        for (at, read) in longer.into_iter().zip(read_all(self.disk, &reads)?) {
            found[at] = read
                .ok()
                .and_then(|memory| self.tail_of(&window[at], memory));
        }
        let entries = |(tail, memory): (FooterTail, PageMemory)| {
            decode_footer(&tail, &memory, &geometry).ok()
        };
        Ok(found
            .into_iter()
            .map(|found| found.and_then(entries))
            .collect())
    }

    /// The tail of a segment's last pages, if it is this segment's as it is now.
    fn tail_of(&self, used: &Used, memory: PageMemory) -> Option<(FooterTail, PageMemory)> {
        let tail = FooterTail::decode(&memory, &self.geometry).ok()?;
        let own = (tail.sequence, tail.salt, tail.kind) == (used.sequence, used.salt, used.kind);
        (own && tail.store == self.store).then_some((tail, memory))
    }

    /// Gives a segment that was read batch by batch its footer, so that it is read that way once.
    fn close(&mut self, used: Used, found: Scanned) {
        let pages = FooterTail::footer_pages(found.entries.len());
        let mut memory = PageMemory::new(pages as usize * PAGE_BYTES);
        let tail = FooterTail {
            store: self.store,
            sequence: used.sequence,
            salt: used.salt,
            kind: used.kind,
            entries: 0,
            closed_at: self.state.now / 1000,
            entries_crc: 0,
        };
        encode_footer(&tail, &found.entries, &mut memory);
        let page = self.geometry.segment_pages() - pages;
        let offset = self.geometry.offset(used.segment, page);
        if write_all(self.disk, vec![(offset, memory)]).is_err() {
            let segments = &mut self.state.segments;
            segments.keep_entries(used.segment, found.entries);
            segments.set_state(used.segment, SegmentState::Broken);
        }
    }
}
