use std::os::fd::OwnedFd;
use std::sync::Arc;

use holdfast_wire::checksum::crc32c;
use parking_lot::{Mutex, MutexGuard};

use crate::arena::Arena;
use crate::extent::Extent;
use crate::state::{Cleared, ExtentMove, KeyResult, Put, State, Step};
use crate::{
    BlockId, BlockLocation, BlockStat, ChunkStore, EngineConfig, EngineError, EngineStats,
    ListedBlock, Millis, PinnedBlock, PutKey, Reservation, SpaceSpec, WriteSlot,
};

/// The memory and the state over it; lives as long as the engine or any block of it is held.
pub(crate) struct Shared {
    arena: Arena,
    pub(crate) state: Mutex<State>,
}

impl Shared {
    /// Address of a location's first byte.
    pub(crate) fn address(&self, location: &BlockLocation) -> *mut u8 {
        // SAFETY: locations lie within their extent.
        unsafe {
            self.arena
                .extent_ptr(location.extent)
                .add(location.offset as usize)
        }
    }
}

/// The chunk engine. Shared by threads as `Arc<Engine>`; every call enters its lock once a batch.
///
/// Blocks and slots that were handed out stay valid when the engine itself is dropped.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Reserves, maps and prefaults the arena.
    ///
    /// # Errors
    /// The configuration breaks a rule, or the kernel refuses memory or file descriptors.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let config = config.validate()?;
        let count = (config.arena_bytes / config.extent_bytes) as u32;
        let arena = Arena::reserve(
            count,
            config.extent_bytes,
            config.prefault,
            config.huge_pages,
        )?;
        let mut extents = Vec::with_capacity(count as usize);
        for number in 0..count {
            extents.push(Extent::new(Arc::new(arena.install(number)?), number + 1));
        }
        let state = State::new(&config, extents).map_err(|source| EngineError::Index { source })?;
        Ok(Self {
            shared: Arc::new(Shared {
                arena,
                state: Mutex::new(state),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// The state, for what depends on the time.
    fn state_at(&self, now: Millis) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.note_time(now);
        state
    }

    /// For each id whether it is committed and not expired. Takes no recency.
    ///
    /// # Panics
    /// When `out` is not as long as `ids`.
    pub fn exists(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]) {
        assert_eq!(ids.len(), out.len(), "one answer for each id");
        self.state_at(now).exists(space, ids, now, out);
    }

    /// Replaces `out` by one entry per id; the blocks found stay where they are while held.
    pub fn get(
        &self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        out: &mut Vec<Option<PinnedBlock>>,
    ) {
        let mut found = Vec::new();
        self.state_at(now).lookup(space, ids, now, true, &mut found);
        out.clear();
        out.extend(found.iter().map(|found| {
            found
                .as_ref()
                .map(|found| PinnedBlock::new(self.shared.clone(), found))
        }));
    }

    /// Unpins many blocks entering the lock once. Blocks of another engine are let go too.
    pub fn release_batch(&self, blocks: impl IntoIterator<Item = PinnedBlock>) {
        // Collected first: the iterator may be slow, and may enter the lock itself.
        let (own, others): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .map(PinnedBlock::into_slot)
            .partition(|(shared, _)| Arc::ptr_eq(shared, &self.shared));
        let mut state = self.state();
        for &(_, slot) in &own {
            state.release(slot);
        }
        drop(state);
        for (shared, slot) in others {
            shared.state.lock().release(slot);
        }
    }

    /// As [`Engine::exists`], and renews recency: the blocks were read elsewhere.
    ///
    /// # Panics
    /// When `out` is not as long as `ids`.
    pub fn touch(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]) {
        assert_eq!(ids.len(), out.len(), "one answer for each id");
        self.state_at(now).touch_many(space, ids, now, out);
    }

    /// Replaces `out` by where each block lies; renews recency, pins nothing.
    ///
    /// What lies there may be evicted and overwritten at any time: copy, then compare the
    /// checksum of the copy.
    pub fn locate(
        &self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        out: &mut Vec<Option<BlockLocation>>,
    ) {
        let mut found = Vec::new();
        self.state_at(now)
            .lookup(space, ids, now, false, &mut found);
        out.clear();
        out.extend(found.iter().map(|found| found.map(|found| found.location)));
    }

    /// The memory file behind a location, for a client of `tenant` to map read-only. `None` when
    /// the extent has moved since: what was located there is a miss now.
    pub fn export_view(&self, extent: u32, view: u32, tenant: u32) -> Option<Arc<OwnedFd>> {
        self.state().export_view(extent, view, tenant)
    }

    /// Bytes of each extent (and of each view).
    #[must_use]
    pub fn extent_bytes(&self) -> u64 {
        self.shared.arena.extent_bytes()
    }

    /// The whole arena, one contiguous range: address and bytes (for one RDMA registration).
    #[must_use]
    pub fn arena_range(&self) -> (*mut u8, u64) {
        let extents = u64::from(self.state().extents.len());
        (self.shared.arena.base(), extents * self.extent_bytes())
    }

    /// Replaces `out` by one result per write.
    pub fn reserve(
        &self,
        spec: &SpaceSpec,
        writes: &[PutKey],
        write_id: u32,
        now: Millis,
        out: &mut Vec<Reservation>,
    ) {
        self.reserve_all(Put::new(spec, writes, write_id, now), now, out);
    }

    /// As [`Engine::reserve`], for blocks that were written elsewhere `age_ms` ago: they end when
    /// the originals do. A delete that comes before such a copy is committed is obeyed by it.
    pub fn reserve_copies(
        &self,
        spec: &SpaceSpec,
        writes: &[PutKey],
        write_id: u32,
        age_ms: u64,
        now: Millis,
        out: &mut Vec<Reservation>,
    ) {
        let put = Put::new(spec, writes, write_id, now).copying(age_ms);
        self.reserve_all(put, now, out);
    }

    fn reserve_all(&self, mut put: Put<'_>, now: Millis, out: &mut Vec<Reservation>) {
        loop {
            // The guard must be gone before an extent is cleared.
            let step = self.state_at(now).advance_put(&mut put);
            match step {
                Step::Done => break,
                Step::Again => {}
                Step::Move(extent) => self.clear_extent(&extent),
            }
        }
        out.clear();
        out.extend(put.results.into_iter().map(|result| match result {
            KeyResult::Write { slot, location } => {
                Reservation::Write(WriteSlot::new(self.shared.clone(), slot, location))
            }
            KeyResult::Present => Reservation::Present,
            KeyResult::Busy => Reservation::Busy,
            KeyResult::Refused(reason) => Reservation::Refused(reason),
            KeyResult::Duplicate => Reservation::Duplicate,
        }));
    }

    /// Clears an extent that changes tenant, outside the lock.
    fn clear_extent(&self, moved: &ExtentMove) {
        let cleared = if moved.replace {
            match self.shared.arena.install(moved.extent) {
                Ok(file) => Cleared::Replaced(file),
                Err(_) => Cleared::Failed,
            }
        } else {
            self.shared.arena.zero(moved.extent);
            Cleared::Zeroed
        };
        self.state().finish_move(moved, cleared);
    }

    /// Commits many slots entering the lock once; returns for each whether it is visible now
    /// (false: its space was dropped, its group moved away or, of a copy, it was deleted meanwhile).
    ///
    /// # Panics
    /// When a slot is of another engine.
    pub fn commit_batch(&self, slots: impl IntoIterator<Item = (WriteSlot, u32)>) -> Vec<bool> {
        let slots: Vec<(WriteSlot, u32)> = slots.into_iter().collect();
        let slots = slots.into_iter().map(|(slot, crc)| {
            let (shared, slot) = slot.into_slot();
            assert!(Arc::ptr_eq(&shared, &self.shared), "a slot of this engine");
            (slot, crc)
        });
        let slots: Vec<_> = slots.collect();
        let mut state = self.state();
        for &(slot, _) in &slots {
            state.prefetch_slot(slot);
        }
        let commit = |(slot, crc)| state.commit(slot, crc);
        slots.into_iter().map(commit).collect()
    }

    /// Drops the blocks, and copies of them that are on their way in; for each id whether it was
    /// there to be read.
    ///
    /// # Panics
    /// When `out` is not as long as `ids`.
    pub fn delete(&self, space: u32, ids: &[BlockId], out: &mut [bool]) {
        assert_eq!(ids.len(), out.len(), "one answer for each id");
        self.state().delete(space, ids, out);
    }

    /// Holds blocks against eviction until `until` (0, or a time not after `now`, ends the hold),
    /// within the tenant's `pin_bytes_max`; for each id whether it is done.
    ///
    /// # Panics
    /// When `out` is not as long as `ids`.
    pub fn pin(&self, space: u32, ids: &[BlockId], until: Millis, now: Millis, out: &mut [bool]) {
        assert_eq!(ids.len(), out.len(), "one answer for each id");
        self.state_at(now).pin(space, ids, until, now, out);
    }

    /// Checks the bytes of the block that `write_id` wrote and drops it if they are wrong.
    /// True when it was dropped.
    pub fn drop_if_corrupt(&self, space: u32, id: &BlockId, write_id: u32) -> bool {
        let Some(found) = self.state().hold_written(space, id, write_id) else {
            return false;
        };
        let block = PinnedBlock::new(self.shared.clone(), &found);
        if crc32c(block.as_slice()) == block.crc() {
            return false;
        }
        // Still pinned, so it cannot have been replaced by another block with the same write id.
        self.state().drop_corrupt(space, id, write_id)
    }

    /// Replaces `out` by what is known of each block. Takes no recency.
    pub fn stat(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut Vec<Option<BlockStat>>) {
        self.state_at(now).stat(space, ids, now, out);
    }

    /// Drops every block of the space: unreachable at once, memory freed now or by and by.
    /// Slots in flight will not commit.
    pub fn drop_space(&self, space: u32) {
        self.state().drop_space(space);
    }

    /// Drops blocks of groups that `keep` denies, looking at no more than `budget` slots (65,536
    /// at most) from `cursor` (0 to begin). Returns the next cursor, 0 at the end. `keep` is
    /// called under the engine's lock: it must be quick and must not call the engine.
    pub fn retain_groups(
        &self,
        cursor: u64,
        budget: usize,
        group_count: u32,
        keep: &dyn Fn(u32) -> bool,
    ) -> u64 {
        self.state()
            .retain_groups(cursor, budget, group_count, keep)
    }

    /// Appends up to `limit` live blocks of wanted groups, from `cursor` (0 to begin). Returns the
    /// next cursor, 0 at the end; a call may append few or none and still not be at the end.
    /// `wanted` is called under the engine's lock, as in [`Engine::retain_groups`].
    pub fn list(
        &self,
        cursor: u64,
        limit: usize,
        group_count: u32,
        wanted: &dyn Fn(u32) -> bool,
        now: Millis,
        out: &mut Vec<ListedBlock>,
    ) -> u64 {
        self.state_at(now)
            .list(cursor, limit, group_count, wanted, now, out)
    }

    /// Drops what is past its time, looking at no more than `budget` slots (65,536 at most); goes
    /// on where the last call ended. Returns how many were dropped.
    ///
    /// While the engine is in use, all slots must be looked at within 500 times the shortest time
    /// to live: births are kept modulo twice that.
    pub fn sweep(&self, now: Millis, budget: usize) -> usize {
        self.state_at(now).sweep(now, budget)
    }

    /// Bounds a tenant's bytes; `None` lifts the bound. What is above it now goes with later puts.
    pub fn set_tenant_limit(&self, tenant: u32, bytes: Option<u64>) {
        self.state().set_tenant_limit(tenant, bytes);
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.state().stats()
    }

    /// Memory that is not payload, bytes.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        self.state().index_bytes()
    }

    /// Compares every account with the records it sums up; for tests, looks at every slot.
    ///
    /// # Panics
    /// When one does not match.
    #[doc(hidden)]
    pub fn verify(&self) {
        self.state().verify();
    }
}

impl ChunkStore for Engine {
    type Block = PinnedBlock;
    type Slot = WriteSlot;

    fn exists(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]) {
        self.exists(space, ids, now, out);
    }

    fn get(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut Vec<Option<PinnedBlock>>) {
        self.get(space, ids, now, out);
    }

    fn reserve(
        &self,
        spec: &SpaceSpec,
        writes: &[PutKey],
        write_id: u32,
        now: Millis,
        out: &mut Vec<Reservation>,
    ) {
        self.reserve(spec, writes, write_id, now, out);
    }

    fn delete(&self, space: u32, ids: &[BlockId], out: &mut [bool]) {
        self.delete(space, ids, out);
    }

    fn drop_space(&self, space: u32) {
        self.drop_space(space);
    }
}
