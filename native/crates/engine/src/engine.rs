use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::{
    BlockId, BlockLocation, BlockStat, EngineConfig, EngineError, EngineStats, ListedBlock, Millis,
    PinnedBlock, PutKey, Reservation, SpaceSpec, WriteSlot,
};

/// The chunk engine. Shared by threads as `Arc<Engine>`; every call enters its lock once a batch.
pub struct Engine {}

impl Engine {
    /// Reserves, maps and prefaults the arena.
    ///
    /// # Errors
    /// The configuration breaks a rule, or the kernel refuses memory or file descriptors.
    pub fn new(_config: EngineConfig) -> Result<Self, EngineError> {
        unimplemented!()
    }
    /// For each id whether it is committed and not expired. Takes no recency.
    pub fn exists(&self, _space: u32, _ids: &[BlockId], _now: Millis, _out: &mut [bool]) {
        unimplemented!()
    }
    /// Replaces `out` by one entry per id; the blocks found stay where they are while held.
    pub fn get(
        &self,
        _space: u32,
        _ids: &[BlockId],
        _now: Millis,
        _out: &mut Vec<Option<PinnedBlock>>,
    ) {
        unimplemented!()
    }
    /// Unpins many blocks entering the lock once.
    pub fn release_batch(&self, _blocks: impl IntoIterator<Item = PinnedBlock>) {
        unimplemented!()
    }
    /// Replaces `out` by where each block lies; touches recency, pins nothing.
    pub fn locate(
        &self,
        _space: u32,
        _ids: &[BlockId],
        _now: Millis,
        _out: &mut Vec<Option<BlockLocation>>,
    ) {
        unimplemented!()
    }
    /// The memory file behind a location, for a client of `tenant` to map read-only. `None` when
    /// the extent has moved since: what was located there is a miss now.
    pub fn export_view(&self, _extent: u32, _view: u32, _tenant: u32) -> Option<Arc<OwnedFd>> {
        unimplemented!()
    }
    /// Bytes of each extent (and of each view).
    pub fn extent_bytes(&self) -> u64 {
        unimplemented!()
    }
    /// The whole arena, one contiguous range: address and bytes (for one RDMA registration).
    pub fn arena_range(&self) -> (*mut u8, u64) {
        unimplemented!()
    }
    /// Replaces `out` by one result per write.
    pub fn reserve(
        &self,
        _spec: &SpaceSpec,
        _writes: &[PutKey],
        _write_id: u32,
        _now: Millis,
        _out: &mut Vec<Reservation>,
    ) {
        unimplemented!()
    }
    /// Commits many slots entering the lock once; returns for each whether it is visible now
    /// (false: its space was dropped or its group moved away meanwhile).
    pub fn commit_batch(&self, _slots: impl IntoIterator<Item = (WriteSlot, u32)>) -> Vec<bool> {
        unimplemented!()
    }
    /// Drops the blocks; for each id whether it was there.
    pub fn delete(&self, _space: u32, _ids: &[BlockId], _out: &mut [bool]) {
        unimplemented!()
    }
    /// Holds blocks against eviction until `until` (0 ends the hold), within the tenant's
    /// `pin_bytes_max`; for each id whether it is done.
    pub fn pin(
        &self,
        _space: u32,
        _ids: &[BlockId],
        _until: Millis,
        _now: Millis,
        _out: &mut [bool],
    ) {
        unimplemented!()
    }
    /// Checks the bytes of a block written by `write_id` and drops it if they are wrong.
    /// True when it was dropped.
    pub fn drop_if_corrupt(&self, _space: u32, _id: &BlockId, _write_id: u32) -> bool {
        unimplemented!()
    }
    /// Replaces `out` by what is known of each block. Takes no recency.
    pub fn stat(
        &self,
        _space: u32,
        _ids: &[BlockId],
        _now: Millis,
        _out: &mut Vec<Option<BlockStat>>,
    ) {
        unimplemented!()
    }
    /// Drops every block of the space; slots in flight will not commit.
    pub fn drop_space(&self, _space: u32) {
        unimplemented!()
    }
    /// Drops blocks of groups that `keep` denies, looking at no more than `budget` slots from
    /// `cursor` (0 to begin). Returns the next cursor, 0 at the end.
    pub fn retain_groups(
        &self,
        _cursor: u64,
        _budget: usize,
        _group_count: u32,
        _keep: &dyn Fn(u32) -> bool,
    ) -> u64 {
        unimplemented!()
    }
    /// Appends up to `limit` committed blocks of wanted groups, from `cursor` (0 to begin).
    /// Returns the next cursor, 0 at the end.
    pub fn list(
        &self,
        _cursor: u64,
        _limit: usize,
        _group_count: u32,
        _wanted: &dyn Fn(u32) -> bool,
        _now: Millis,
        _out: &mut Vec<ListedBlock>,
    ) -> u64 {
        unimplemented!()
    }
    /// Drops what is past its time, looking at no more than `budget` slots; goes on where the
    /// last call ended. Returns how many were dropped.
    pub fn sweep(&self, _now: Millis, _budget: usize) -> usize {
        unimplemented!()
    }
    /// Bounds a tenant's bytes; `None` lifts the bound. What is above it now goes first later.
    pub fn set_tenant_limit(&self, _tenant: u32, _bytes: Option<u64>) {
        unimplemented!()
    }
    /// Counters and gauges.
    pub fn stats(&self) -> EngineStats {
        unimplemented!()
    }
    /// Memory that is not payload, bytes.
    pub fn index_bytes(&self) -> u64 {
        unimplemented!()
    }
}
