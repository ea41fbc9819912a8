use super::State;
use crate::BlockId;
use crate::record::SpaceHandle;

/// Slots looked at when a space is dropped; what is left then goes by sweep and eviction.
const DROP_SLOTS: usize = 65_536;

impl State {
    /// Drops committed blocks; for each id whether it was there.
    pub(crate) fn delete(&mut self, space: u32, ids: &[BlockId], out: &mut [bool]) {
        let handle = self.spaces.handle(space);
        for (id, deleted) in ids.iter().zip(out) {
            *deleted = handle.is_some_and(|handle| self.delete_one(handle, id));
        }
    }

    /// A copy that is on its way in goes too: its original is what the caller wants gone. A put is
    /// let be, as if it came later.
    fn delete_one(&mut self, handle: SpaceHandle, id: &BlockId) -> bool {
        let Some(slot) = self.find(handle, id) else {
            return false;
        };
        let record = self.extents.record(slot);
        if record.is_copying() {
            self.unlink(slot);
            return false;
        }
        if !record.is_visible() {
            return false;
        }
        self.counters.deleted += 1;
        self.discard(slot);
        true
    }

    /// Makes every block of the space unreachable at once and frees what can be freed quickly.
    pub(crate) fn drop_space(&mut self, space: u32) {
        let Some(handle) = self.spaces.drop_space(space) else {
            return;
        };
        let class = self.spaces.get(handle).class;
        let mut looked = 0;
        for number in self.classes[class as usize].extents.clone() {
            for place in 0..self.extents.extent(number).slots() {
                if looked == DROP_SLOTS {
                    return;
                }
                looked += 1;
                let record = &self.extents.extent(number).records[place];
                if record.space() == handle && record.is_visible() {
                    self.counters.deleted += 1;
                    self.unlink(self.extents.slot(number, place));
                }
            }
            self.release_if_empty(number);
        }
    }
}
