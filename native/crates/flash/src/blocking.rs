use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use holdfast_engine::{
    BlockId, BlockSlot, ChunkStore, Millis, PutKey, RefusedReason, Reservation, SpaceSpec,
};
use holdfast_index::Slot;

use crate::failures::AppendRefused;
use crate::heap_block::HeapBlock;
use crate::state::{End, NewBlock, Payload, Reserved};
use crate::store::ends_to;
use crate::types::{Durability, Location, ReadInto};
use crate::{FlashStore, PageMemory};

/// A flash store as a chunk store whose calls wait for the disk, with blocks in memory of their
/// own: for tools and tests. A data node uses [`FlashStore`] itself.
pub struct BlockingStore {
    inner: Arc<Inner>,
}

struct Inner {
    store: FlashStore,
    durability: Durability,
    verify: bool,
    deadline: Duration,
}

impl BlockingStore {
    /// Blocks of this durability; `verify` compares what is read with its checksum. No call waits
    /// longer than `deadline`: what has not ended then is a miss, or not stored.
    #[must_use]
    pub fn new(
        store: FlashStore,
        durability: Durability,
        verify: bool,
        deadline: Duration,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                durability,
                verify,
                deadline,
            }),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &FlashStore {
        &self.inner.store
    }

    fn reserve_one(&self, spec: &SpaceSpec, key: PutKey, write_id: u32) -> Reservation<FlashSlot> {
        let durability = self.inner.durability;
        let mut state = self.inner.store.shared().state.lock();
        let room = state.has_room(spec.block_bytes, durability);
        let now = state.now;
        let reserved = match room {
            Ok(()) => state.reserve(spec, durability, key.id, now),
            Err(reason) => Reserved::Refused(reason),
        };
        drop(state);
        match reserved {
            Reserved::Slot(slot) => Reservation::Write(FlashSlot {
                inner: Arc::clone(&self.inner),
                memory: PageMemory::new(spec.block_bytes as usize),
                spec: *spec,
                key,
                write_id,
                slot,
            }),
            Reserved::Present => Reservation::Present,
            Reserved::Busy => Reservation::Busy,
            Reserved::Refused(reason) => refusal(reason, self.inner.store.block_bytes_max()),
        }
    }

    /// Reads the blocks that were found, each into memory of its own.
    fn read_found(&self, found: &[Option<Location>], out: &mut [Option<HeapBlock>]) {
        let (sender, ends) = channel();
        let reads: Vec<ReadInto> = (0..)
            .zip(found)
            .filter_map(|(tag, location)| {
                let location = (*location)?;
                Some(ReadInto {
                    tag,
                    location,
                    room: Box::new(PageMemory::new(location.room_bytes())),
                    verify: self.inner.verify,
                })
            })
            .collect();
        let mut left = reads.len();
        self.inner.store.read(reads, &ends_to(sender));
        let until = Instant::now() + self.inner.deadline;
        while left > 0 {
            let rest = until.saturating_duration_since(Instant::now());
            let Ok(mut end) = ends.recv_timeout(rest) else {
                return;
            };
            left -= 1;
            if end.result.is_ok() {
                let location = end.location;
                let bytes = location.payload_bytes as usize;
                let mut memory = PageMemory::new(bytes);
                memory[..bytes].copy_from_slice(&end.room.as_mut_slice()[..bytes]);
                let block = HeapBlock::new(memory, bytes, location.crc, location.write_id);
                out[end.tag as usize] = Some(block);
            }
        }
    }
}

fn refusal(reason: AppendRefused, block_bytes_max: u32) -> Reservation<FlashSlot> {
    Reservation::Refused(match reason {
        AppendRefused::Empty => RefusedReason::Empty,
        AppendRefused::TooLarge { block_bytes, .. } => RefusedReason::TooLarge {
            block_bytes,
            extent_bytes: block_bytes_max.into(),
        },
        AppendRefused::SpaceMismatch {
            tenant,
            block_bytes,
        } => RefusedReason::SpaceMismatch {
            tenant,
            block_bytes,
        },
        AppendRefused::TooManySpaces => RefusedReason::TooManySpaces,
        _ => return Reservation::Busy,
    })
}

/// Room for one block in memory; committing it writes it and waits for that.
pub struct FlashSlot {
    inner: Arc<Inner>,
    memory: PageMemory,
    spec: SpaceSpec,
    key: PutKey,
    write_id: u32,
    slot: Slot,
}

impl Drop for FlashSlot {
    fn drop(&mut self) {
        self.inner
            .store
            .shared()
            .state
            .lock()
            .index
            .abort(self.slot);
    }
}

impl BlockSlot for FlashSlot {
    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[..self.spec.block_bytes as usize]
    }

    fn commit(self, crc: u32) -> bool {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so both are moved out exactly once.
        let (inner, memory) = unsafe {
            (
                ptr::read(&raw const this.inner),
                ptr::read(&raw const this.memory),
            )
        };
        let bytes = this.spec.block_bytes as usize;
        let block = HeapBlock::new(memory, bytes, crc, this.write_id);
        let (sender, ends) = channel();
        let done = Arc::new(move |_, result| {
            // Whoever waits no longer does not want to know.
            let _ = sender.send(result);
        });
        let mut state = inner.store.shared().state.lock();
        if state.stopping {
            state.index.abort(this.slot);
            return false;
        }
        let new = NewBlock {
            key: this.key,
            durability: inner.durability,
            deepest: false,
        };
        state.enqueue(
            &this.spec,
            new,
            this.slot,
            Payload::Caller(Box::new(block)),
            End::Append(0, done),
        );
        drop(state);
        inner.store.wake();
        match ends.recv_timeout(inner.deadline) {
            Ok(result) => result.is_ok(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }
}

impl ChunkStore for BlockingStore {
    type Block = HeapBlock;
    type Slot = FlashSlot;

    fn exists(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]) {
        let mut found = Vec::new();
        self.inner.store.lookup(space, ids, now, false, &mut found);
        for (out, found) in out.iter_mut().zip(found) {
            *out = found.is_some();
        }
    }

    fn get(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut Vec<Option<HeapBlock>>) {
        let mut found = Vec::new();
        self.inner.store.lookup(space, ids, now, true, &mut found);
        out.clear();
        out.resize_with(ids.len(), || None);
        self.read_found(&found, out);
    }

    fn reserve(
        &self,
        spec: &SpaceSpec,
        writes: &[PutKey],
        write_id: u32,
        now: Millis,
        out: &mut Vec<Reservation<FlashSlot>>,
    ) {
        self.inner.store.shared().state.lock().note(now);
        out.clear();
        for (number, key) in writes.iter().enumerate() {
            let earlier = &writes[..number];
            if earlier.iter().any(|other| other.id == key.id) {
                out.push(Reservation::Duplicate);
            } else {
                out.push(self.reserve_one(spec, *key, write_id));
            }
        }
    }

    fn delete(&self, space: u32, ids: &[BlockId], out: &mut [bool]) {
        self.inner.store.delete(space, ids, 0, out);
    }

    fn drop_space(&self, space: u32) {
        self.inner.store.drop_space(space);
    }
}
