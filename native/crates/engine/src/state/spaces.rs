use crate::record::{SPACES_MAX, SpaceHandle};
use crate::{Millis, SpaceSpec};
use holdfast_index::NumberMap;

/// Parts of its time to live to which the age of a block is known.
const AGE_PARTS: u64 = 64;
/// Unit of age in a space without a time to live, milliseconds.
const AGE_UNIT_MS: u64 = 60_000;

/// Shortest time to live, milliseconds.
const TTL_MS_MIN: u64 = 1000;
/// Longest time to live, units: half of the cycle, so that an expired block is known as such for
/// as long again.
const TTL_UNITS_MAX: u16 = 1 << 15;
/// Shortest pause after which a birth may be taken for a later one, milliseconds.
pub(super) const PAUSE_MS_MIN: u64 = TTL_MS_MIN / AGE_PARTS * TTL_UNITS_MAX as u64;

/// A space known to this engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Its number in the cluster.
    pub(crate) number: u32,
    /// Its tenant.
    pub(crate) tenant: u32,
    /// Size of its blocks, bytes.
    pub(crate) block_bytes: u32,
    /// Class of its extents.
    pub(crate) class: u32,
    /// Higher stays longer.
    pub(crate) priority: u8,
    /// Records that carry its handle, in whatever state.
    pub(crate) records: u64,
    /// Dropped: what is left of it is unreachable and goes first.
    pub(crate) dropped: bool,
    /// Unit in which births are kept, milliseconds.
    unit_ms: u64,
    /// Time to live in units; 0 for none.
    ttl_units: u16,
}

impl Space {
    fn set_ttl(&mut self, ttl_s: u32) {
        let units = u64::from(ttl_s) * 1000 / self.unit_ms;
        self.ttl_units = units.min(u64::from(TTL_UNITS_MAX)) as u16;
    }

    /// The time in the space's units, modulo 2^16.
    #[inline]
    pub(crate) fn units(&self, now: Millis) -> u16 {
        (now / self.unit_ms) as u16
    }

    /// Birth of a block that was written `age_ms` ago. One that is over already stays so.
    pub(crate) fn birth(&self, age_ms: u64, now: Millis) -> u16 {
        let age_units = (age_ms / self.unit_ms).min(u64::from(self.ttl_units));
        self.units(now).wrapping_sub(age_units as u16)
    }

    /// Whether a block born then is past its time at `now_units`.
    #[inline]
    pub(crate) fn is_expired(&self, birth: u16, now_units: u16) -> bool {
        self.ttl_units != 0 && now_units.wrapping_sub(birth) >= self.ttl_units
    }

    /// Age of a block, milliseconds.
    pub(crate) fn age_ms(&self, birth: u16, now: Millis) -> u64 {
        u64::from(self.units(now).wrapping_sub(birth)) * self.unit_ms
    }

    /// Time that a block has left, milliseconds; `None` when it has no end.
    pub(crate) fn ttl_left_ms(&self, birth: u16, now: Millis) -> Option<u64> {
        let ttl_ms = u64::from(self.ttl_units) * self.unit_ms;
        (self.ttl_units != 0).then(|| ttl_ms.saturating_sub(self.age_ms(birth, now)))
    }
}

/// The spaces, by number and by handle.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    handles: NumberMap<u32, SpaceHandle>,
    /// By handle minus one; `None` may be given out again.
    list: Vec<Option<Space>>,
}

impl Spaces {
    /// Handle of a space that is not dropped.
    #[inline]
    pub(crate) fn handle(&self, number: u32) -> Option<SpaceHandle> {
        self.handles.get(&number).copied()
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

    /// Makes a space known; `None` when too many hold blocks already.
    pub(crate) fn register(&mut self, spec: &SpaceSpec, class: u32) -> Option<SpaceHandle> {
        let ttl_ms = u64::from(spec.ttl_s) * 1000;
        let mut space = Space {
            number: spec.space,
            tenant: spec.tenant,
            block_bytes: spec.block_bytes,
            class,
            priority: spec.priority,
            records: 0,
            dropped: false,
            unit_ms: if ttl_ms == 0 {
                AGE_UNIT_MS
            } else {
                ttl_ms / AGE_PARTS
            },
            ttl_units: 0,
        };
        space.set_ttl(spec.ttl_s);
        let index = self.vacant_index()?;
        if index == self.list.len() {
            self.list.push(None);
        }
        self.list[index] = Some(space);
        let handle = index as SpaceHandle + 1;
        self.handles.insert(spec.space, handle);
        Some(handle)
    }

    /// Takes over what may change of a known space.
    pub(crate) fn renew(&mut self, handle: SpaceHandle, spec: &SpaceSpec) {
        let space = self.get_mut(handle);
        space.priority = spec.priority;
        space.set_ttl(spec.ttl_s);
    }

    /// An unused place, or that of a space without blocks.
    fn vacant_index(&mut self) -> Option<usize> {
        if self.list.len() < usize::from(SPACES_MAX) {
            return Some(self.list.len());
        }
        let vacant = |entry: &Option<Space>| entry.is_none_or(|space| space.records == 0);
        let index = self.list.iter().position(vacant)?;
        if let Some(space) = self.list[index].take()
            && !space.dropped
        {
            self.handles.remove(&space.number);
        }
        Some(index)
    }

    /// Forgets the spaces of a class that holds no blocks.
    pub(crate) fn forget_class(&mut self, class: u32) {
        for entry in &mut self.list {
            if let Some(space) = entry
                && space.class == class
            {
                debug_assert_eq!(space.records, 0);
                if !space.dropped {
                    self.handles.remove(&space.number);
                }
                *entry = None;
            }
        }
    }

    /// Nothing was looked at for `pause_ms`: forgets the blocks of spaces in which the age of a
    /// block is not known after that; all of them are past their time.
    pub(crate) fn renew_after_pause(&mut self, pause_ms: u64) {
        for entry in &mut self.list {
            if let Some(space) = entry
                && !space.dropped
                && space.ttl_units != 0
                && pause_ms >= u64::from(TTL_UNITS_MAX) * space.unit_ms
            {
                space.dropped = true;
                self.handles.remove(&space.number);
            }
        }
    }

    /// Makes a space unreachable. Its records keep the handle until they are gone.
    pub(crate) fn drop_space(&mut self, number: u32) -> Option<SpaceHandle> {
        let handle = self.handles.remove(&number)?;
        self.get_mut(handle).dropped = true;
        Some(handle)
    }

    /// Memory held, bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        (self.list.capacity() * size_of::<Option<Space>>() + self.handles.capacity() * 8) as u64
    }
}
