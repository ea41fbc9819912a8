use super::State;
use crate::record::{Slot, SlotState};
use crate::{BlockId, Millis};

/// Timed pins whose end is noticed by one call.
const ENDED_PER_CALL: usize = 64;

impl State {
    /// Holds live blocks until a time (0 ends the hold) within the tenant's bound.
    pub(crate) fn pin(
        &mut self,
        space: u32,
        ids: &[BlockId],
        until: Millis,
        now: Millis,
        out: &mut [bool],
    ) {
        self.expire_pins(now);
        let until = if until > now { until } else { 0 };
        for (id, done) in ids.iter().zip(out) {
            *done = self.pin_one(space, id, until, now);
        }
    }

    fn pin_one(&mut self, space: u32, id: &BlockId, until: Millis, now: Millis) -> bool {
        let slot = self
            .spaces
            .handle(space)
            .and_then(|handle| self.find(handle, id))
            .filter(|&slot| self.is_live(self.extents.record(slot), now));
        let Some(slot) = slot else {
            return false;
        };
        if until == 0 {
            self.end_timed_pin(slot);
            return true;
        }
        let class = &self.classes[self.class_of(slot) as usize];
        let (tenant, slot_bytes) = (class.tenant, class.slot_bytes);
        let account = self.tenants.account(tenant);
        if self.pins.get(slot).until == 0 {
            if account.pinned_bytes + slot_bytes > self.pin_bytes_max {
                return false;
            }
            account.pinned_bytes += slot_bytes;
        }
        let before = self.pins.set_until(slot, until);
        if before.readers == 0 && before.until == 0 {
            self.extents.record_mut(slot).set_state(SlotState::Pinned);
            self.extents.owner_mut(slot).held += 1;
        }
        true
    }

    /// Ends a slot's timed hold if it has one; readers keep holding it.
    pub(super) fn end_timed_pin(&mut self, slot: Slot) {
        let pin = self.pins.get(slot);
        if pin.until == 0 {
            return;
        }
        self.pins.set_until(slot, 0);
        let class = &self.classes[self.class_of(slot) as usize];
        self.tenants.account(class.tenant).pinned_bytes -= class.slot_bytes;
        if pin.readers == 0 {
            let record = self.extents.record_mut(slot);
            record.set_state(SlotState::Committed);
            self.extents.owner_mut(slot).held -= 1;
        }
    }

    /// Ends timed holds that are over, a bounded number of them.
    pub(super) fn expire_pins(&mut self, now: Millis) {
        for _ in 0..ENDED_PER_CALL {
            let Some(slot) = self.pins.ended(now) else {
                return;
            };
            self.end_timed_pin(slot);
        }
    }
}
