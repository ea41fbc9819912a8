use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::State;
use super::write::Put;
use crate::RefusedReason;
use crate::extent::{NO_CLASS, NO_TENANT};
use crate::record::Slot;

/// Blocks evicted at a time while an extent is emptied for another class.
const DRAIN_SLOTS: u32 = 1024;
/// Blocks evicted for one key while a tenant is above its limit.
const LIMIT_EVICTIONS_MAX: u32 = 1024;
/// Free extents looked through for one that needs no clearing.
const FREE_LOOK_MAX: usize = 64;
/// `bytes_of` of an extent whose memory file could not be replaced: nobody's, so that it is
/// cleared before its next use.
const UNCLEARED: u64 = NO_TENANT - 1;

/// An extent that must be cleared of another tenant's bytes before its class may use it.
#[derive(Debug)]
pub(crate) struct ExtentMove {
    /// The extent; nobody uses it until the move is finished.
    pub(crate) extent: u32,
    /// Whether clients may see its memory file, so that it must be replaced, not overwritten.
    pub(crate) replace: bool,
    class: u32,
}

/// Where a new block can go.
pub(super) enum Placed {
    Slot(Slot),
    Busy,
    Refused(RefusedReason),
    Again,
    Move(ExtentMove),
}

enum Drained {
    Empty,
    More,
    Held,
}

impl State {
    /// Finds a slot for a new block of a class, evicting if need be.
    pub(super) fn place(&mut self, class: u32, put: &mut Put<'_>) -> Placed {
        if let Some(verdict) = self.obey_limit(class) {
            return verdict;
        }
        if let Some(slot) = self.take_slot(class) {
            return Placed::Slot(slot);
        }
        if let Some(placed) = self.place_in_free_extent(class) {
            return placed;
        }
        if put.draining.is_none() {
            put.draining = self.review(class);
        }
        if let Some(extent) = put.draining {
            match self.drain(extent) {
                Drained::More => return Placed::Again,
                Drained::Empty => {
                    put.draining = None;
                    if let Some(placed) = self.place_in_free_extent(class) {
                        return placed;
                    }
                }
                Drained::Held => self.abandon_drain(put),
            }
        }
        if self.evict_from(class)
            && let Some(slot) = self.take_slot(class)
        {
            return Placed::Slot(slot);
        }
        Placed::Busy
    }

    /// Makes room below the tenant's limit; a verdict when that cannot be.
    fn obey_limit(&mut self, class: u32) -> Option<Placed> {
        let (tenant, slot_bytes) = {
            let class = &self.classes[class as usize];
            (class.tenant, class.slot_bytes)
        };
        let limit_bytes = self.tenants.get(tenant).limit_bytes?;
        if slot_bytes > limit_bytes {
            return Some(Placed::Refused(RefusedReason::Quota { limit_bytes }));
        }
        for _ in 0..LIMIT_EVICTIONS_MAX {
            if self.tenants.get(tenant).used_bytes + slot_bytes <= limit_bytes {
                return None;
            }
            if !self.evict_from(class) && !self.evict_from_siblings(class) {
                return Some(Placed::Busy);
            }
        }
        Some(Placed::Busy)
    }

    /// A free slot of the class's extents.
    fn take_slot(&mut self, class: u32) -> Option<Slot> {
        let class = &mut self.classes[class as usize];
        while let Some(&number) = class.roomy.last() {
            let extent = self.extents.extent_mut(number);
            if let Some(place) = extent.take() {
                return Some(self.extents.slot(number, place));
            }
            extent.listed = false;
            class.roomy.pop();
        }
        None
    }

    /// A slot of a free extent, which then belongs to the class.
    fn place_in_free_extent(&mut self, class: u32) -> Option<Placed> {
        let tenant = self.classes[class as usize].tenant;
        let look = self
            .extents_free
            .iter()
            .enumerate()
            .rev()
            .take(FREE_LOOK_MAX);
        let clean = look
            .filter(|&(_, &number)| {
                let bytes_of = self.extents.extent(number).bytes_of;
                bytes_of == NO_TENANT || bytes_of == u64::from(tenant)
            })
            .map(|(index, _)| index)
            .next();
        if let Some(index) = clean {
            let number = self.extents_free.remove(index);
            self.attach(number, class);
            return self.take_slot(class).map(Placed::Slot);
        }
        let extent = self.extents_free.pop()?;
        let owner = self.extents.extent(extent);
        Some(Placed::Move(ExtentMove {
            extent,
            replace: owner.exported || owner.bytes_of == UNCLEARED,
            class,
        }))
    }

    fn attach(&mut self, number: u32, class_number: u32) {
        let class = &mut self.classes[class_number as usize];
        let extent = self.extents.extent_mut(number);
        extent.attach(class_number, class.tenant, class.extent_slots);
        extent.listed = true;
        class.extents.push(number);
        class.roomy.push(number);
        class.resized();
        self.tenants.account(class.tenant).extents += 1;
    }

    /// Hands over a cleared extent, with its new memory file if it was replaced. An extent that
    /// could not be cleared stays free and is cleared before its next use; false then.
    pub(crate) fn finish_move(&mut self, moved: &ExtentMove, cleared: Cleared) -> bool {
        let extent = self.extents.extent_mut(moved.extent);
        debug_assert!(extent.class == NO_CLASS);
        match cleared {
            Cleared::Replaced(file) => {
                extent.file = Arc::new(file);
                extent.exported = false;
                extent.view = self.view_next;
                self.view_next = self.view_next.wrapping_add(1).max(1);
            }
            Cleared::Zeroed => {}
            Cleared::Failed => {
                extent.bytes_of = UNCLEARED;
                self.extents_free.insert(0, moved.extent);
                return false;
            }
        }
        self.counters.extents_moved += 1;
        self.attach(moved.extent, moved.class);
        true
    }

    /// Evicts one block of the class; false when none may be.
    fn evict_from(&mut self, class: u32) -> bool {
        let class = &mut self.classes[class as usize];
        class.evictions_to_review = class.evictions_to_review.saturating_sub(1);
        let Some(slot) = class.victim(&self.extents, &self.spaces) else {
            return false;
        };
        self.evict(slot);
        true
    }

    /// Evicts one block of the tenant's other classes.
    fn evict_from_siblings(&mut self, class: u32) -> bool {
        let tenant = self.classes[class as usize].tenant;
        (0..self.classes.len() as u32)
            .filter(|&other| other != class)
            .any(|other| self.classes[other as usize].tenant == tenant && self.evict_from(other))
    }

    /// Evicts some of an extent's blocks so that it can move.
    fn drain(&mut self, number: u32) -> Drained {
        let extent = self.extents.extent_mut(number);
        if extent.class == NO_CLASS {
            return Drained::Empty;
        }
        if extent.held > 0 {
            return Drained::Held;
        }
        extent.draining = true;
        if extent.listed {
            extent.listed = false;
            let class = extent.class as usize;
            self.classes[class].roomy.retain(|&other| other != number);
        }
        let mut evicted = 0;
        for place in 0..self.extents.extent(number).slots() {
            if self.extents.extent(number).records[place].is_free() {
                continue;
            }
            if evicted == DRAIN_SLOTS {
                return Drained::More;
            }
            self.evict(self.extents.slot(number, place));
            evicted += 1;
        }
        self.counters.extents_moved += 1;
        self.release_if_empty(number);
        Drained::Empty
    }

    /// Lets the class keep the extent that a put began to empty.
    pub(super) fn abandon_drain(&mut self, put: &mut Put<'_>) {
        let Some(number) = put.draining.take() else {
            return;
        };
        let extent = self.extents.extent_mut(number);
        if extent.class != NO_CLASS && extent.draining {
            extent.draining = false;
            if !extent.listed {
                extent.listed = true;
                self.classes[extent.class as usize].roomy.push(number);
            }
        }
    }
}

/// How clearing an extent ended.
pub(crate) enum Cleared {
    /// It has a new memory file.
    Replaced(OwnedFd),
    /// Its bytes are zero.
    Zeroed,
    /// The kernel refused a new memory file.
    Failed,
}
