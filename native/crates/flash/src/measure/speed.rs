use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use holdfast_engine::measure::request_id;
use holdfast_engine::{BlockId, PutKey, SpaceSpec, StoredBlock};
use holdfast_wire::checksum::crc32c;

use crate::store::ends_to;
use crate::types::{Append, AppendDone, Appended, Durability, ReadInto};
use crate::{FlashStore, PageMemory};

/// Longest wait for any end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How fast a store wrote and read.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Bytes written a second.
    pub write_bytes_per_s: f64,
    /// Bytes read a second.
    pub read_bytes_per_s: f64,
    /// Blocks that a sync covered.
    pub blocks_per_sync: f64,
}

/// The same bytes for every block.
struct Same(Arc<PageMemory>, u32);

impl StoredBlock for Same {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn crc(&self) -> u32 {
        self.1
    }

    fn write_id(&self) -> u32 {
        1
    }
}

/// Writes `count` blocks, as many at a time as the queue takes, then reads all of them, 64 at a
/// time. `None` when a block was not written or an end did not come.
#[must_use]
pub fn measure_speed(
    store: &FlashStore,
    spec: &SpaceSpec,
    durability: Durability,
    count: u64,
) -> Option<Speed> {
    let mut memory = PageMemory::new(spec.block_bytes as usize);
    for (place, byte) in memory.iter_mut().enumerate() {
        *byte = (place * 131) as u8;
    }
    let crc = crc32c(&memory);
    let memory = Arc::new(memory);
    let (sender, ends) = channel();
    let done: AppendDone = Arc::new(move |_, result| {
        // The measure outlives its appends.
        let _ = sender.send(result.is_ok());
    });
    let before = store.stats().counters;
    let begin = Instant::now();
    let mut written = 0;
    for number in 0..count {
        loop {
            let block = Append {
                tag: number,
                key: PutKey {
                    id: request_id(number),
                    position: 0,
                },
                block: Box::new(Same(Arc::clone(&memory), crc)),
            };
            let mut out = Vec::new();
            store.append(spec, durability, vec![block], 0, &done, &mut out);
            if out[0] == Appended::Queued {
                break;
            }
            // The queue is full: room comes with the next end.
            written += take_end(&ends)?;
        }
    }
    while written < count {
        written += take_end(&ends)?;
    }
    let write_s = begin.elapsed().as_secs_f64();
    let after = store.stats().counters;
    let begin = Instant::now();
    read_all(store, spec, count)?;
    let bytes = (count * u64::from(spec.block_bytes)) as f64;
    let syncs = (after.syncs - before.syncs).max(1);
    Some(Speed {
        write_bytes_per_s: bytes / write_s,
        read_bytes_per_s: bytes / begin.elapsed().as_secs_f64(),
        blocks_per_sync: (after.synced - before.synced) as f64 / syncs as f64,
    })
}

fn take_end(ends: &Receiver<bool>) -> Option<u64> {
    ends.recv_timeout(PATIENCE)
        .ok()
        .filter(|&well| well)
        .map(|_| 1)
}

fn read_all(store: &FlashStore, spec: &SpaceSpec, count: u64) -> Option<()> {
    let (sender, ends) = channel();
    let done = ends_to(sender);
    let mut rooms: Vec<Box<dyn crate::ReadRoom>> = (0..64)
        .map(|_| Box::new(PageMemory::new(spec.block_bytes as usize)) as Box<dyn crate::ReadRoom>)
        .collect();
    let (mut next, mut ended) = (0, 0);
    while ended < count {
        while next < count
            && let Some(room) = rooms.pop()
        {
            let ids: [BlockId; 1] = [request_id(next)];
            let mut found = Vec::new();
            store.lookup(spec.space, &ids, 0, false, &mut found);
            let location = found[0]?;
            let verify = true;
            let tag = next;
            let read = ReadInto {
                tag,
                location,
                room,
                verify,
            };
            store.read(vec![read], &done);
            next += 1;
        }
        let end = ends.recv_timeout(PATIENCE).ok()?;
        end.result.ok()?;
        rooms.push(end.room);
        ended += 1;
    }
    Some(())
}
