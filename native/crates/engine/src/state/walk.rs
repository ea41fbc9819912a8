use holdfast_wire::group_of;

use super::State;
use crate::extent::NO_CLASS;
use crate::record::SlotState;
use crate::{ListedBlock, Millis, eviction::position_of_class};

/// Slots that one call of a walk looks at, at most, so that the lock is held for a bounded time.
pub(crate) const LOOK_SLOTS_MAX: usize = 65_536;

/// Where a walk over all slots stands: extent above, place below; 0 at the beginning and the end.
#[derive(Clone, Copy)]
struct Cursor {
    extent: u32,
    place: u32,
}

impl Cursor {
    fn from_number(number: u64) -> Self {
        Self {
            extent: (number >> 32) as u32,
            place: number as u32,
        }
    }

    fn number(self) -> u64 {
        u64::from(self.extent) << 32 | u64::from(self.place)
    }
}

impl State {
    /// Calls `visit` for up to `budget` slots from `cursor` that are in use; `visit` may drop the
    /// slot and tells whether to go on. Returns the next cursor, 0 at the end.
    fn walk(
        &mut self,
        cursor: u64,
        budget: usize,
        mut visit: impl FnMut(&mut Self, u32, u32) -> bool,
    ) -> u64 {
        let mut at = Cursor::from_number(cursor);
        let mut looked = 0;
        let budget = budget.clamp(1, LOOK_SLOTS_MAX);
        while at.extent < self.extents.len() {
            let extent = self.extents.extent(at.extent);
            if extent.class == NO_CLASS || at.place >= extent.slots() {
                at = Cursor {
                    extent: at.extent + 1,
                    place: 0,
                };
                continue;
            }
            if looked == budget {
                return at.number();
            }
            looked += 1;
            let place = at.place;
            at.place += 1;
            if !extent.records[place].is_free() && !visit(self, at.extent, place) {
                return at.number();
            }
        }
        0
    }

    /// Drops what is past its time or left of a dropped space; goes on where the last call ended.
    pub(crate) fn sweep(&mut self, now: Millis, budget: usize) -> usize {
        self.expire_pins(now);
        let mut dropped = 0;
        self.swept = self.walk(self.swept, budget, |state, extent, place| {
            let record = &state.extents.extent(extent).records[place];
            if !record.is_visible() || state.is_live(record, now) {
                return true;
            }
            if state.spaces.get(record.space()).dropped {
                state.counters.deleted += 1;
            } else {
                state.counters.expired += 1;
            }
            dropped += 1;
            state.discard(state.extents.slot(extent, place));
            true
        });
        dropped
    }

    /// Drops blocks of groups that `keep` denies, and dooms writes of such.
    pub(crate) fn retain_groups(
        &mut self,
        cursor: u64,
        budget: usize,
        group_count: u32,
        keep: &dyn Fn(u32) -> bool,
    ) -> u64 {
        self.walk(cursor, budget, |state, extent, place| {
            let record = &state.extents.extent(extent).records[place];
            if record.state() != SlotState::Doomed && !keep(group_of(&record.id, group_count)) {
                state.counters.deleted += u64::from(record.is_visible());
                state.discard(state.extents.slot(extent, place));
            }
            true
        })
    }

    /// Appends live blocks of wanted groups.
    pub(crate) fn list(
        &mut self,
        cursor: u64,
        limit: usize,
        group_count: u32,
        wanted: &dyn Fn(u32) -> bool,
        now: Millis,
        out: &mut Vec<ListedBlock>,
    ) -> u64 {
        let full = out.len().saturating_add(limit);
        if limit == 0 {
            return cursor;
        }
        self.walk(cursor, LOOK_SLOTS_MAX, |state, extent, place| {
            let record = &state.extents.extent(extent).records[place];
            if state.is_live(record, now) && wanted(group_of(&record.id, group_count)) {
                let space = state.spaces.get(record.space());
                out.push(ListedBlock {
                    id: record.id,
                    space: space.number,
                    tenant: space.tenant,
                    block_bytes: space.block_bytes,
                    crc: record.crc,
                    write_id: record.write_id,
                    position: position_of_class(record.word.position_class()),
                    ttl_left_ms: space.ttl_left_ms(record.birth, now),
                });
            }
            out.len() < full
        })
    }

    /// The memory file behind an extent, if it is still this view and belongs to this tenant.
    pub(crate) fn export_view(
        &mut self,
        extent: u32,
        view: u32,
        tenant: u32,
    ) -> Option<std::sync::Arc<std::os::fd::OwnedFd>> {
        if extent >= self.extents.len() {
            return None;
        }
        let owner = self.extents.extent_mut(extent);
        let class = self.classes.get(owner.class as usize)?;
        if owner.view != view || class.tenant != tenant {
            return None;
        }
        owner.exported = true;
        Some(owner.file.clone())
    }

    /// Bounds a tenant's bytes.
    pub(crate) fn set_tenant_limit(&mut self, tenant: u32, bytes: Option<u64>) {
        self.tenants.account(tenant).limit_bytes = bytes;
    }
}
