use holdfast_wire::checksum::crc32c;

use super::Used;
use super::disk_calls::read_all;
use crate::disk::Disk;
use crate::layout::{
    BATCH_ENTRIES_MAX, BatchHead, ENTRY_BYTES, Entry, Geometry, HEAD_BYTES, PAGE_BYTES, StoreId,
    decode_batch, pages_of,
};
use crate::{FlashError, PageMemory};

/// Pages that are read at a time.
const WINDOW_PAGES: u32 = 1024;
/// Payload that is summed at a time, pages.
const SUMMED_PAGES: u32 = 4096;
/// Pages of the longest head of a batch.
const HEAD_PAGES_MAX: u32 = ((HEAD_BYTES + BATCH_ENTRIES_MAX * ENTRY_BYTES) / PAGE_BYTES) as u32;

/// What a segment without a footer holds.
pub(super) struct Scanned {
    /// Records whose payload is there.
    pub(super) entries: Vec<Entry>,
    /// Records that were written in part only.
    pub(super) torn: u64,
}

/// Reads a segment batch by batch, up to the first that is not its own next one.
pub(super) fn scan(
    disk: &mut dyn Disk,
    geometry: &Geometry,
    store: StoreId,
    used: &Used,
) -> Result<Scanned, FlashError> {
    let segment = used.segment;
    let mut window = Window::default();
    let mut page = 1;
    let mut batches: Vec<(u32, Vec<Entry>)> = Vec::new();
    let mut synced = 0;
    while page < geometry.segment_pages() {
        let Some(bytes) = window.at(disk, geometry, segment, page)? else {
            break;
        };
        let Ok((head, entries)) = decode_batch(bytes, geometry) else {
            break;
        };
        let next = batches.len() as u32;
        if !is_next(&head, store, used, next) || page + head.pages > geometry.segment_pages() {
            break;
        }
        synced = head.synced;
        page += head.pages;
        batches.push((head.number, entries));
    }
    let (sure, unsure): (Vec<_>, Vec<_>) = batches
        .into_iter()
        .partition(|&(number, _)| number < synced);
    let mut entries: Vec<Entry> = sure.into_iter().flat_map(|(_, entries)| entries).collect();
    let unsure: Vec<Entry> = unsure
        .into_iter()
        .flat_map(|(_, entries)| entries)
        .collect();
    let torn = keep_whole(disk, geometry, segment, unsure, &mut entries)?;
    Ok(Scanned { entries, torn })
}

fn is_next(head: &BatchHead, store: StoreId, used: &Used, number: u32) -> bool {
    let own = (head.sequence, head.salt) == (used.sequence, used.salt);
    own && head.store == store && head.number == number
}

/// Adds the records whose payload matches its checksum; how many do not.
fn keep_whole(
    disk: &mut dyn Disk,
    geometry: &Geometry,
    segment: u32,
    unsure: Vec<Entry>,
    entries: &mut Vec<Entry>,
) -> Result<u64, FlashError> {
    let mut torn = 0;
    let mut start = 0;
    while start < unsure.len() {
        let mut end = start;
        let mut pages = 0;
        while end < unsure.len() && (end == start || pages < SUMMED_PAGES) {
            pages += unsure[end].payload_pages();
            end += 1;
        }
        let group = &unsure[start..end];
        let blocks: Vec<&Entry> = group.iter().filter(|entry| !entry.is_tombstone()).collect();
        let reads: Vec<(u64, u32)> = blocks
            .iter()
            .map(|entry| (geometry.offset(segment, entry.page), entry.payload_pages()))
            .collect();
        let mut payloads = read_all(disk, &reads)?.into_iter();
        for entry in group {
            let whole = entry.is_tombstone()
                || payloads.next().is_some_and(|payload| {
                    payload.is_ok_and(|payload| {
                        crc32c(&payload[..entry.payload_bytes as usize]) == entry.crc
                    })
                });
            if whole {
                entries.push(*entry);
            } else {
                torn += 1;
            }
        }
        start = end;
    }
    Ok(torn)
}

/// A part of a segment in memory, so that small batches are not read one by one.
#[derive(Default)]
struct Window {
    start: u32,
    memory: Option<PageMemory>,
}

impl Window {
    /// The bytes from a page on, at least as many as a batch's head and entries may have, or up to
    /// the end of the segment; `None` when they cannot be read.
    fn at(
        &mut self,
        disk: &mut dyn Disk,
        geometry: &Geometry,
        segment: u32,
        page: u32,
    ) -> Result<Option<&[u8]>, FlashError> {
        let end = geometry.segment_pages();
        let needed = (page + HEAD_PAGES_MAX).min(end);
        let held = self
            .memory
            .as_ref()
            .map_or(0, |memory| pages_of(memory.len() as u64));
        if self.memory.is_none() || page < self.start || needed > self.start + held {
            let pages = WINDOW_PAGES.min(end - page);
            let read = read_all(disk, &[(geometry.offset(segment, page), pages)])?;
            self.start = page;
            self.memory = read.into_iter().find_map(Result::ok);
        }
        let from = (page - self.start) as usize * PAGE_BYTES;
        Ok(self.memory.as_ref().map(|memory| &memory[from..]))
    }
}
