use super::State;
use crate::EngineStats;
use crate::extent::{Extent, NO_CLASS};
use crate::record::Slot;

/// Counters of one engine; see [`EngineStats`] for what they mean.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) blocks: u64,
    pub(crate) blocks_in_flight: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stored: u64,
    pub(crate) evictions: u64,
    pub(crate) expired: u64,
    pub(crate) corrupt: u64,
    pub(crate) deleted: u64,
    pub(crate) refused: u64,
    pub(crate) busy: u64,
    pub(crate) aborted: u64,
    pub(crate) extents_moved: u64,
}

impl State {
    /// Counters and gauges.
    pub(crate) fn stats(&self) -> EngineStats {
        let counters = &self.counters;
        let tenants = self.tenants.stats(self.extent_bytes);
        EngineStats {
            capacity_bytes: u64::from(self.extents.len()) * self.extent_bytes,
            used_bytes: tenants.iter().map(|tenant| tenant.used_bytes).sum(),
            blocks: counters.blocks,
            blocks_in_flight: counters.blocks_in_flight,
            extents: self.extents.len(),
            extents_free: self.extents_free.len() as u32,
            hits: counters.hits,
            misses: counters.misses,
            stored: counters.stored,
            evictions: counters.evictions,
            expired: counters.expired,
            corrupt: counters.corrupt,
            deleted: counters.deleted,
            refused: counters.refused,
            busy: counters.busy,
            aborted: counters.aborted,
            extents_moved: counters.extents_moved,
            pins: self.pins.readers(),
            pinned_bytes: tenants.iter().map(|tenant| tenant.pinned_bytes).sum(),
            index_bytes: self.index_bytes(),
            tenants,
        }
    }

    /// Everything resident that is not payload, bytes.
    pub(crate) fn index_bytes(&self) -> u64 {
        let records: u64 = self.extents.iter().map(Extent::record_bytes).sum();
        let classes: u64 = self.classes.iter().map(super::Class::bytes).sum();
        let lists = (self.extents_free.capacity() * size_of::<u32>()) as u64
            + u64::from(self.extents.len()) * size_of::<Extent>() as u64;
        self.table.bytes()
            + records
            + classes
            + lists
            + self.spaces.heap_bytes()
            + self.tenants.heap_bytes()
            + self.pins.heap_bytes()
            + size_of::<Self>() as u64
    }

    /// Compares every account with what the records say; for tests.
    ///
    /// # Panics
    /// When one does not match.
    #[doc(hidden)]
    pub(crate) fn verify(&self) {
        let mut used = holdfast_index::NumberMap::<u32, u64>::default();
        let (mut indexed, mut blocks) = (0, 0);
        for (number, extent) in self.extents.iter().enumerate() {
            if extent.class == NO_CLASS {
                assert!(extent.used == 0 && extent.held == 0, "free extent in use");
                continue;
            }
            let class = &self.classes[extent.class as usize];
            assert!(
                class.extents.contains(&(number as u32)),
                "extent unknown to its class"
            );
            let records = extent.records.as_slice().iter().enumerate();
            let taken: Vec<_> = records.filter(|(_, record)| !record.is_free()).collect();
            assert_eq!(taken.len() as u32, extent.used, "used slots of an extent");
            *used.entry(class.tenant).or_default() += taken.len() as u64 * class.slot_bytes;
            let states = taken.iter().map(|(_, record)| record.state());
            let held = states.filter(|&state| state != crate::record::SlotState::Committed);
            assert_eq!(held.count() as u32, extent.held, "held slots of an extent");
            for (place, record) in taken {
                let slot: Slot = self.extents.slot(number as u32, place as u32);
                blocks += u64::from(record.is_visible());
                if record.state() != crate::record::SlotState::Doomed {
                    indexed += 1;
                    assert_eq!(self.find(record.space(), &record.id), Some(slot));
                }
            }
        }
        assert_eq!(self.table.len(), indexed, "index entries");
        assert_eq!(self.counters.blocks, blocks, "committed blocks");
        for tenant in self.tenants.stats(self.extent_bytes) {
            let expected = used.get(&tenant.tenant).copied().unwrap_or(0);
            assert_eq!(
                tenant.used_bytes, expected,
                "bytes of tenant {}",
                tenant.tenant
            );
        }
    }
}
