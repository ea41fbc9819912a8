use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use holdfast_engine::measure::request_id;

use crate::FlashConfig;
use crate::layout::{
    BatchHead, Entry, FooterTail, Geometry, PAGE_BYTES, SegmentHead, SegmentKind, Superblock,
    encode_footer, pages_of,
};
use crate::random::random_number;

/// What a store looks like whose opening is measured.
#[derive(Debug, Clone, Copy)]
pub struct RestartShape {
    /// Full segments.
    pub segments: u32,
    /// Size of each block, bytes.
    pub block_bytes: u32,
}

/// Writes a file that is a store of closed, full segments, with heads and footers and no payload:
/// the file has holes there. Returns the number of blocks.
///
/// # Errors
/// The file cannot be written.
///
/// # Panics
/// The configuration has no such store.
pub fn write_sparse_store(
    path: &Path,
    config: &FlashConfig,
    shape: RestartShape,
) -> io::Result<u64> {
    let geometry = Geometry::new(config.segment_bytes, shape.segments).expect("a geometry");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.set_len(geometry.disk_bytes())?;
    let superblock = Superblock {
        cluster: config.cluster,
        node: config.node,
        store: [7; 16],
        created_at: 0,
        geometry,
    };
    for page in 0..2 {
        file.write_all_at(&superblock.encode(), page * PAGE_BYTES as u64)?;
    }
    let mut blocks = 0;
    for segment in 0..shape.segments {
        blocks += write_segment(&file, &superblock, segment, shape.block_bytes, blocks)?;
    }
    file.sync_all()?;
    Ok(blocks)
}

fn write_segment(
    file: &File,
    superblock: &Superblock,
    segment: u32,
    block_bytes: u32,
    first: u64,
) -> io::Result<u64> {
    let geometry = superblock.geometry;
    let head = SegmentHead {
        store: superblock.store,
        sequence: u64::from(segment) + 1,
        salt: random_number(),
        kind: SegmentKind::Cache,
        opened_at: 0,
    };
    let entries = entries_of(&geometry, block_bytes, first);
    let tail = FooterTail {
        store: head.store,
        sequence: head.sequence,
        salt: head.salt,
        kind: head.kind,
        entries: 0,
        closed_at: 0,
        entries_crc: 0,
    };
    let pages = FooterTail::footer_pages(entries.len());
    let mut footer = vec![0; pages as usize * PAGE_BYTES];
    encode_footer(&tail, &entries, &mut footer);
    file.write_all_at(&head.encode(), geometry.offset(segment, 0))?;
    let page = geometry.segment_pages() - pages;
    file.write_all_at(&footer, geometry.offset(segment, page))?;
    Ok(entries.len() as u64)
}

/// Entries of a full segment, batch by batch of four mebibytes.
fn entries_of(geometry: &Geometry, block_bytes: u32, first: u64) -> Vec<Entry> {
    let pages = pages_of(block_bytes.into());
    let per_batch = ((4 << 20) / block_bytes).clamp(1, 255) as usize;
    let mut entries: Vec<Entry> = Vec::new();
    let mut page = 1;
    loop {
        if entries.len().is_multiple_of(per_batch) {
            page += BatchHead::head_pages(per_batch);
        }
        let end = page + pages + FooterTail::footer_pages(entries.len() + 1);
        if end > geometry.segment_pages() {
            return entries;
        }
        entries.push(Entry {
            id: request_id(first + entries.len() as u64),
            tenant: 1,
            space: 1,
            payload_bytes: block_bytes,
            page,
            ..Entry::default()
        });
        page += pages;
    }
}
