use super::disk_calls::{read_all, write_all};
use crate::config::SEGMENTS_MIN;
use crate::disk::Disk;
use crate::layout::{Geometry, LayoutError, PAGE_BYTES, StoreId, Superblock};
use crate::random::random_number;
use crate::{FlashConfig, FlashError, PageMemory};

/// Heads that are zeroed at a time.
const WINDOW: u32 = 256;

/// The superblock of the disk, and whether it was made just now.
pub(super) fn find_or_create(
    config: &FlashConfig,
    disk: &mut dyn Disk,
    now_s: u64,
) -> Result<(Superblock, bool), FlashError> {
    if disk.size_bytes() < 2 * PAGE_BYTES as u64 {
        return Err(too_small(config, disk));
    }
    let mut pages = read_all(disk, &[(0, 1), (PAGE_BYTES as u64, 1)])?;
    let second = pages.pop().and_then(Result::ok);
    let first = match pages.pop() {
        Some(Ok(page)) => Some(page),
        // An unreadable first page is what the copy is for.
        Some(Err(source)) if second.is_none() => {
            return Err(FlashError::Io {
                step: "read",
                offset: 0,
                source,
            });
        }
        _ => None,
    };
    let found: Vec<PageMemory> = [first, second].into_iter().flatten().collect();
    if found.len() == 2 && found.iter().all(|page| page.iter().all(|&byte| byte == 0)) {
        return Ok((create(config, disk, now_s)?, true));
    }
    let decoded: Vec<_> = found.iter().map(|page| Superblock::decode(page)).collect();
    let error = match decoded.iter().find(|read| read.is_ok()) {
        Some(Ok(superblock)) => {
            check(config, disk, superblock)?;
            return Ok((*superblock, false));
        }
        _ => decoded.into_iter().find_map(Result::err),
    };
    let source = error.unwrap_or(LayoutError::Magic { what: "superblock" });
    Err(match source {
        LayoutError::Version { .. } => FlashError::Version { source },
        _ => FlashError::NotAStore { source },
    })
}

/// Whether the store is this node's and fits the disk and the configuration.
fn check(config: &FlashConfig, disk: &dyn Disk, found: &Superblock) -> Result<(), FlashError> {
    let foreign = |what, found, expected| FlashError::Foreign {
        what,
        found,
        expected,
    };
    if found.cluster != config.cluster {
        let names = [found.cluster, config.cluster].map(|id| hexadecimal(&id));
        let [found, expected] = names;
        return Err(foreign("cluster", found, expected));
    }
    if found.node != config.node {
        let (found, expected) = (found.node.to_string(), config.node.to_string());
        return Err(foreign("node", found, expected));
    }
    let segment_bytes = found.geometry.segment_bytes();
    if segment_bytes != config.segment_bytes {
        return Err(FlashError::SegmentBytes {
            configured: config.segment_bytes,
            found: segment_bytes,
        });
    }
    let needed_bytes = found.geometry.disk_bytes();
    if disk.size_bytes() < needed_bytes {
        return Err(FlashError::DiskTooSmall {
            disk_bytes: disk.size_bytes(),
            needed_bytes,
        });
    }
    Ok(())
}

fn too_small(config: &FlashConfig, disk: &dyn Disk) -> FlashError {
    FlashError::DiskTooSmall {
        disk_bytes: disk.size_bytes(),
        needed_bytes: (u64::from(SEGMENTS_MIN) + 1) * config.segment_bytes,
    }
}

/// Makes a store: every segment free, then the superblock.
fn create(config: &FlashConfig, disk: &mut dyn Disk, now_s: u64) -> Result<Superblock, FlashError> {
    let segments = (disk.size_bytes() / config.segment_bytes).saturating_sub(1);
    let segments = u32::try_from(segments).unwrap_or(u32::MAX);
    let geometry = Geometry::new(config.segment_bytes, segments)
        .filter(|geometry| geometry.segments() >= SEGMENTS_MIN)
        .ok_or_else(|| too_small(config, disk))?;
    let superblock = Superblock {
        cluster: config.cluster,
        node: config.node,
        store: random_id(),
        created_at: now_s,
        geometry,
    };
    for start in (0..segments).step_by(WINDOW as usize) {
        let end = segments.min(start + WINDOW);
        let heads = (start..end).map(|segment| {
            let head = PageMemory::new(PAGE_BYTES);
            (geometry.offset(segment, 0), head)
        });
        write_all(disk, heads.collect())?;
    }
    let mut pages = PageMemory::new(2 * PAGE_BYTES);
    for page in pages.chunks_exact_mut(PAGE_BYTES) {
        page.copy_from_slice(&superblock.encode());
    }
    write_all(disk, vec![(0, pages)])?;
    Ok(superblock)
}

/// Sixteen bytes that no other store has.
fn random_id() -> StoreId {
    let mut id = [0; 16];
    for half in id.chunks_exact_mut(8) {
        half.copy_from_slice(&random_number().to_le_bytes());
    }
    id
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
