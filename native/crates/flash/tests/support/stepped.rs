use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use holdfast_engine::{BlockId, PutKey, SpaceSpec};
use holdfast_flash::disk::CrashImage;
use holdfast_flash::{
    Append, AppendDone, AppendFailure, Appended, Durability, FlashConfig, FlashError, FlashStore,
    HeapBlock, Location, Log, OpenReport, PageMemory, ReadDone, ReadFailure, ReadInto,
};
use holdfast_wire::checksum::crc32c;

/// Size of the blocks, bytes: no whole number of pages.
pub const BLOCK_BYTES: u32 = 40_000;
/// Turns after which a test has hung.
const TURNS_MAX: u32 = 100_000;

/// A small store.
pub fn config() -> FlashConfig {
    FlashConfig {
        segment_bytes: 4 << 20,
        batch_bytes_max: 256 << 10,
        durable_percent: 50,
        ..FlashConfig::default()
    }
}

/// Space `number`; even ones are for cache blocks, odd ones for durable blocks.
pub fn spec(number: u32) -> SpaceSpec {
    SpaceSpec {
        tenant: 1,
        space: number,
        block_bytes: BLOCK_BYTES,
        ttl_s: 0,
        priority: 0,
    }
}

/// Id of block `number`.
pub fn id(number: u64) -> BlockId {
    let mut id = [0x5A; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    id
}

/// Block `number` as it is written by put `write_id`.
pub fn block(number: u64, write_id: u32, block_bytes: u32) -> HeapBlock {
    let mut memory = PageMemory::new(block_bytes as usize);
    let seed = number.wrapping_mul(31).wrapping_add(u64::from(write_id));
    for (place, bytes) in (0..).zip(memory.chunks_exact_mut(8)) {
        let value = seed.wrapping_add(place).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    let crc = crc32c(&memory[..block_bytes as usize]);
    HeapBlock::new(memory, block_bytes as usize, crc, write_id)
}

/// The end of an append: its tag and result.
pub type AppendEnd = (u64, Result<(), AppendFailure>);

/// A store in memory whose log is given its turns by the test.
pub struct Stepped {
    // Before the image: dropped without being closed, as by a crash.
    pub log: Log,
    pub store: FlashStore,
    pub image: CrashImage,
    pub now: u64,
    pub ends: Receiver<AppendEnd>,
    done: AppendDone,
}

impl Stepped {
    /// Opens a store on a disk.
    pub fn open(
        config: FlashConfig,
        image: &CrashImage,
        now: u64,
    ) -> Result<(Self, OpenReport), FlashError> {
        let disk = Box::new(image.disk());
        let (store, log, report) = FlashStore::open_stepped(config, disk, now)?;
        let (sender, ends) = channel();
        let done: AppendDone = Arc::new(move |tag, result| {
            let _ = sender.send((tag, result));
        });
        let image = image.clone();
        let stepped = Self {
            log,
            store,
            image,
            now,
            ends,
            done,
        };
        Ok((stepped, report))
    }

    /// A new store of so many segments.
    pub fn create(config: FlashConfig, segments: u64, seed: u64) -> Self {
        let image = CrashImage::new((segments + 1) * config.segment_bytes, seed);
        Self::open(config, &image, 1_000_000)
            .expect("an empty disk")
            .0
    }

    /// Queues blocks; their tags are their numbers.
    pub fn append(
        &mut self,
        spec: &SpaceSpec,
        durability: Durability,
        numbers: &[u64],
        write_id: u32,
    ) -> Vec<Appended> {
        let append = |(position, &number): (usize, &u64)| Append {
            tag: number,
            key: PutKey {
                id: id(number),
                position: position as u32,
            },
            block: Box::new(block(number, write_id, spec.block_bytes)),
        };
        let blocks = numbers.iter().enumerate().map(append).collect();
        let mut out = Vec::new();
        self.store
            .append(spec, durability, blocks, self.now, &self.done, &mut out);
        out
    }

    /// Gives turns until nothing is left to do, or the power is off.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if self.image.is_off() || !self.log.is_busy() {
                return;
            }
            self.turn();
        }
        panic!("the log is still busy: {:?}", self.store.stats());
    }

    /// One turn.
    pub fn turn(&mut self) {
        self.log.turn(Duration::from_millis(0));
    }

    /// Queues blocks and gives turns until they are written.
    pub fn put(&mut self, spec: &SpaceSpec, durability: Durability, numbers: &[u64]) {
        self.ends.try_iter().for_each(drop);
        let appended = self.append(spec, durability, numbers, 7);
        assert!(
            appended
                .iter()
                .all(|appended| *appended == Appended::Queued),
            "{appended:?}"
        );
        self.settle();
        let ended: Vec<AppendEnd> = self.ends.try_iter().collect();
        assert_eq!(ended.len(), numbers.len());
        assert!(ended.iter().all(|(_, result)| result.is_ok()), "{ended:?}");
    }

    /// Locations of blocks.
    pub fn locate(&self, space: u32, numbers: &[u64], touch: bool) -> Vec<Option<Location>> {
        let ids: Vec<BlockId> = numbers.iter().map(|&number| id(number)).collect();
        let mut out = Vec::new();
        self.store.lookup(space, &ids, self.now, touch, &mut out);
        out
    }

    /// Which blocks can be found.
    pub fn found(&self, space: u32, numbers: &[u64]) -> Vec<bool> {
        let locations = self.locate(space, numbers, false);
        locations.iter().map(Option::is_some).collect()
    }

    /// Reads a block: its bytes and the put that wrote it; `None` when it is not there.
    pub fn read(&mut self, space: u32, number: u64) -> Option<Result<(Vec<u8>, u32), ReadFailure>> {
        let location = self.locate(space, &[number], true)[0]?;
        let (sender, ends) = channel();
        let done: ReadDone = Arc::new(move |end| {
            let _ = sender.send(end);
        });
        let read = ReadInto {
            tag: number,
            location,
            room: Box::new(PageMemory::new(location.room_bytes())),
            verify: true,
        };
        self.store.read(vec![read], &done);
        self.settle();
        let mut end = ends.try_recv().ok()?;
        Some(end.result.map(|()| {
            let bytes = end.room.as_mut_slice()[..location.payload_bytes as usize].to_vec();
            (bytes, location.write_id)
        }))
    }

    /// Asserts that a block is there and as it was written.
    pub fn assert_whole(&mut self, space: u32, number: u64, what: &str) {
        let read = self.read(space, number);
        let (bytes, write_id) = read
            .unwrap_or_else(|| panic!("{what}: block {number} is gone"))
            .unwrap_or_else(|failure| panic!("{what}: block {number}: {failure}"));
        let written = block(number, write_id, bytes.len() as u32);
        let same = holdfast_engine::StoredBlock::as_slice(&written) == bytes;
        assert!(same, "{what}: block {number} has other bytes");
    }

    /// Queues a delete; whether its tombstones were acknowledged as on stable storage comes later.
    pub fn delete(
        &mut self,
        space: u32,
        numbers: &[u64],
    ) -> (Vec<bool>, Receiver<Result<(), AppendFailure>>) {
        let ids: Vec<BlockId> = numbers.iter().map(|&number| id(number)).collect();
        let mut there = vec![false; ids.len()];
        let (sender, end) = channel();
        let done = Box::new(move |result| {
            let _ = sender.send(result);
        });
        self.store
            .delete_durable(space, &ids, self.now, &mut there, done);
        (there, end)
    }

    /// The power fails and comes back.
    pub fn crash(self, config: FlashConfig, seed: u64) -> (Self, OpenReport) {
        let Self {
            log,
            store,
            image,
            now,
            ..
        } = self;
        drop(log);
        drop(store);
        image.crash(seed);
        Self::open(config, &image, now).expect("a store after a crash")
    }
}
