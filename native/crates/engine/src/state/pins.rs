use std::collections::BTreeSet;

use crate::Millis;
use crate::record::Slot;
use holdfast_index::NumberMap;

/// What holds one slot.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Reads in progress.
    pub(crate) readers: u32,
    /// End of a timed hold; 0 for none.
    pub(crate) until: Millis,
}

/// Slots held by readers or for a time. Few at a time, so they lie beside the records.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    by_slot: NumberMap<Slot, Pin>,
    timed: BTreeSet<(Millis, Slot)>,
    readers: u64,
}

impl Pins {
    /// What holds a slot.
    pub(crate) fn get(&self, slot: Slot) -> Pin {
        self.by_slot.get(&slot).copied().unwrap_or_default()
    }

    /// One more reader; true when nothing held the slot before.
    pub(crate) fn add_reader(&mut self, slot: Slot) -> bool {
        let pin = self.by_slot.entry(slot).or_default();
        let first = *pin == Pin::default();
        pin.readers += 1;
        self.readers += 1;
        first
    }

    /// One reader less; true when nothing holds the slot any more.
    pub(crate) fn remove_reader(&mut self, slot: Slot) -> bool {
        let pin = self
            .by_slot
            .get_mut(&slot)
            .expect("a reader that ends has begun");
        pin.readers -= 1;
        self.readers -= 1;
        self.forget_if_free(slot)
    }

    /// Sets the end of a timed hold, 0 for none; returns the hold as it was.
    pub(crate) fn set_until(&mut self, slot: Slot, until: Millis) -> Pin {
        let pin = self.by_slot.entry(slot).or_default();
        let before = *pin;
        pin.until = until;
        if before.until != 0 {
            self.timed.remove(&(before.until, slot));
        }
        if until != 0 {
            self.timed.insert((until, slot));
        }
        self.forget_if_free(slot);
        before
    }

    fn forget_if_free(&mut self, slot: Slot) -> bool {
        let free = self.get(slot) == Pin::default();
        if free {
            self.by_slot.remove(&slot);
        }
        free
    }

    /// A slot whose timed hold has ended.
    pub(crate) fn ended(&self, now: Millis) -> Option<Slot> {
        let &(until, slot) = self.timed.first()?;
        (until <= now).then_some(slot)
    }

    /// Reads in progress, over all slots.
    pub(crate) fn readers(&self) -> u64 {
        self.readers
    }

    /// Memory held, bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        (self.by_slot.capacity() * (size_of::<Pin>() + 8) + self.timed.len() * 24) as u64
    }
}
