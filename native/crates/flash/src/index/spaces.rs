use holdfast_engine::{Millis, SpaceSpec};
use holdfast_index::NumberMap;

use super::fates::Fates;
use super::place::{SPACES_MAX, SpaceHandle};
use crate::layout::SegmentKind;

/// Parts of its time to live to which the age of a block is known.
const AGE_PARTS: u64 = 64;
/// Unit of age in a space without a time to live, milliseconds.
const AGE_UNIT_MS: u64 = 60_000;
/// Longest time to live, units: half of the cycle, so that an expired block is known as such for
/// as long again.
const TTL_UNITS_MAX: u8 = 128;

/// A space known to this store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Its number in the cluster.
    pub(crate) number: u32,
    /// Its tenant.
    pub(crate) tenant: u32,
    /// Size of its blocks, bytes.
    pub(crate) block_bytes: u32,
    /// Time to live, seconds; 0 for none.
    pub(crate) ttl_s: u32,
    /// Higher stays longer.
    pub(crate) priority: u8,
    /// What its segments are.
    pub(crate) kind: SegmentKind,
    /// Records that carry its handle, in whatever state.
    pub(crate) records: u64,
    /// What becomes of its blocks.
    pub(crate) fates: Fates,
    /// Dropped: what is left of it is unreachable.
    pub(crate) dropped: bool,
    unit_ms: u64,
    ttl_units: u8,
}

impl Space {
    fn new(spec: &SpaceSpec, kind: SegmentKind) -> Self {
        let ttl_ms = u64::from(spec.ttl_s) * 1000;
        let mut space = Self {
            number: spec.space,
            tenant: spec.tenant,
            block_bytes: spec.block_bytes,
            ttl_s: 0,
            priority: 0,
            kind,
            records: 0,
            fates: Fates::default(),
            dropped: false,
            unit_ms: if ttl_ms == 0 {
                AGE_UNIT_MS
            } else {
                ttl_ms / AGE_PARTS
            },
            ttl_units: 0,
        };
        space.renew(spec);
        space
    }

    fn renew(&mut self, spec: &SpaceSpec) {
        self.priority = spec.priority;
        self.ttl_s = spec.ttl_s;
        let units = u64::from(spec.ttl_s) * 1000 / self.unit_ms;
        self.ttl_units = units.min(TTL_UNITS_MAX.into()) as u8;
    }

    /// Birth of a block written at `born`, which is told apart for 256 units. One that is over
    /// already stays so.
    pub(crate) fn birth(&self, born: Millis, now: Millis) -> u8 {
        let age_units = now.saturating_sub(born) / self.unit_ms;
        let age_units = age_units.min(self.ttl_units.into()) as u8;
        ((now / self.unit_ms) as u8).wrapping_sub(age_units)
    }

    /// Whether a block of this birth is past its time: up to a 64th of it early, never late.
    #[inline]
    pub(crate) fn is_expired(&self, birth: u8, now: Millis) -> bool {
        self.ttl_units != 0 && ((now / self.unit_ms) as u8).wrapping_sub(birth) >= self.ttl_units
    }
}

/// Why a space's blocks cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpaceConflict {
    /// It is known with another tenant or block size.
    Mismatch { tenant: u32, block_bytes: u32 },
    /// Its blocks are of the other kind.
    Kind,
    /// Too many spaces hold blocks.
    TooMany,
}

/// The spaces, by number and by handle.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    handles: NumberMap<u32, SpaceHandle>,
    /// Those of dropped spaces that may still have records.
    dropped: NumberMap<u32, SpaceHandle>,
    /// By handle minus one; `None` may be given out again.
    list: Vec<Option<Space>>,
}

impl Spaces {
    /// Handle of a space that is not dropped.
    #[inline]
    pub(crate) fn handle(&self, number: u32) -> Option<SpaceHandle> {
        self.handles.get(&number).copied()
    }

    /// Handles of a space that records may carry: its own, and that of before it was dropped.
    pub(crate) fn handles_with_dropped(&self, number: u32) -> [Option<SpaceHandle>; 2] {
        let dropped = self.dropped.get(&number).copied();
        [self.handle(number), dropped]
    }

    /// The space of a handle that a record carries.
    #[inline]
    pub(crate) fn get(&self, handle: SpaceHandle) -> &Space {
        self.list[usize::from(handle) - 1]
            .as_ref()
            .expect("a record's space stays known as long as the record")
    }

    /// As [`Spaces::get`], to be changed.
    pub(crate) fn get_mut(&mut self, handle: SpaceHandle) -> &mut Space {
        self.list[usize::from(handle) - 1]
            .as_mut()
            .expect("a record's space stays known as long as the record")
    }

    /// Handle of a space for a block of it; makes it known when it is not.
    pub(crate) fn admit(
        &mut self,
        spec: &SpaceSpec,
        kind: SegmentKind,
    ) -> Result<SpaceHandle, SpaceConflict> {
        if let Some(handle) = self.handle(spec.space) {
            let space = self.get_mut(handle);
            let (tenant, block_bytes) = (space.tenant, space.block_bytes);
            let same = (tenant, block_bytes) == (spec.tenant, spec.block_bytes);
            if space.records > 0 && !same {
                return Err(SpaceConflict::Mismatch {
                    tenant,
                    block_bytes,
                });
            }
            if space.records > 0 && space.kind != kind {
                return Err(SpaceConflict::Kind);
            }
            if space.records == 0 {
                *space = Space::new(spec, kind);
            } else {
                space.renew(spec);
            }
            return Ok(handle);
        }
        let index = self.vacant_index().ok_or(SpaceConflict::TooMany)?;
        if index == self.list.len() {
            self.list.push(None);
        }
        self.list[index] = Some(Space::new(spec, kind));
        let handle = index as SpaceHandle + 1;
        self.handles.insert(spec.space, handle);
        Ok(handle)
    }

    /// An unused place, or that of a space without blocks.
    fn vacant_index(&mut self) -> Option<usize> {
        if self.list.len() < usize::from(SPACES_MAX) {
            return Some(self.list.len());
        }
        let vacant = |entry: &Option<Space>| entry.is_none_or(|space| space.records == 0);
        let index = self.list.iter().position(vacant)?;
        if let Some(space) = self.list[index].take() {
            if space.dropped {
                self.dropped.remove(&space.number);
            } else {
                self.handles.remove(&space.number);
            }
        }
        Some(index)
    }

    /// Makes a space unreachable. Its records keep the handle until they are gone.
    pub(crate) fn drop_space(&mut self, number: u32) {
        if let Some(handle) = self.handles.remove(&number) {
            self.get_mut(handle).dropped = true;
            self.dropped.insert(number, handle);
        }
    }

    /// Numbers of the spaces that are not dropped.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.handles.keys().copied().collect()
    }

    /// Memory held, bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        (self.list.capacity() * size_of::<Option<Space>>() + self.handles.capacity() * 8) as u64
    }
}
