//! Between the memory engine and the flash store no byte is copied: a pinned block is written from
//! the arena, and a block is read into the room that it gets there.

mod support;

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use holdfast_engine::{Engine, EngineConfig, PutKey, Reservation, SpaceSpec, WriteSlot};
use holdfast_flash::disk::UringDisk;
use holdfast_flash::{Append, AppendDone, Appended, Durability, FlashStore, ReadDone, ReadInto};
use holdfast_wire::checksum::crc32c;
use support::{Folder, config, id, spec};

const LIMIT: Duration = Duration::from_secs(60);
const BLOCKS: u64 = 32;

fn space() -> SpaceSpec {
    SpaceSpec {
        block_bytes: 64 << 10,
        ..spec(2)
    }
}

fn engine() -> Engine {
    Engine::new(EngineConfig {
        arena_bytes: 8 << 20,
        extent_bytes: 1 << 20,
        ..EngineConfig::default()
    })
    .expect("a small engine")
}

fn slots(engine: &Engine) -> Vec<WriteSlot> {
    let keys = (0..BLOCKS).map(|number| PutKey {
        id: id(number),
        position: number as u32,
    });
    let keys: Vec<PutKey> = keys.collect();
    let mut out = Vec::new();
    engine.reserve(&space(), &keys, 5, 1000, &mut out);
    let slot = |reservation| match reservation {
        Reservation::Write(slot) => slot,
        other => panic!("{other:?}"),
    };
    out.into_iter().map(slot).collect()
}

#[test]
fn blocks_go_from_the_arena_to_flash_and_back() {
    let from = engine();
    for (number, mut slot) in slots(&from).into_iter().enumerate() {
        slot.as_mut_slice().fill(number as u8 + 1);
        let crc = crc32c(slot.as_mut_slice());
        assert!(slot.commit(crc));
    }
    let folder = Folder::new("tiers");
    let disk = UringDisk::open(&folder.file(0), 64 << 20, 64).expect("a ring");
    let (store, _) = FlashStore::open(config(), Box::new(disk), 1000).expect("an empty file");

    let ids: Vec<_> = (0..BLOCKS).map(id).collect();
    let mut pinned = Vec::new();
    from.get(2, &ids, 1000, &mut pinned);
    let blocks = (0..).zip(pinned).map(|(number, block)| Append {
        tag: number,
        key: PutKey {
            id: id(number),
            position: number as u32,
        },
        block: Box::new(block.expect("a stored block")),
    });
    let (sender, ends) = channel();
    let done: AppendDone = Arc::new(move |_, result| {
        let _ = sender.send(result);
    });
    let mut out = Vec::new();
    store.append(
        &space(),
        Durability::Cache,
        blocks.collect(),
        1000,
        &done,
        &mut out,
    );
    assert!(out.iter().all(|appended| *appended == Appended::Queued));
    for _ in 0..BLOCKS {
        assert_eq!(ends.recv_timeout(LIMIT), Ok(Ok(())));
    }
    assert_eq!(from.stats().pins, 0, "written blocks are let go");
    drop(from);

    let to = engine();
    let mut found = Vec::new();
    store.lookup(2, &ids, 1000, true, &mut found);
    let rooms = (0..).zip(found).zip(slots(&to));
    let reads = rooms.map(|((tag, location), slot)| ReadInto {
        tag,
        location: location.expect("a stored block"),
        room: Box::new(slot),
        verify: true,
    });
    let (sender, ends) = channel();
    let done: ReadDone = Arc::new(move |end| {
        let _ = sender.send(end);
    });
    store.read(reads.collect(), &done);
    for _ in 0..BLOCKS {
        let end = ends.recv_timeout(LIMIT).expect("an end for each read");
        assert_eq!(end.result, Ok(()));
        let room: Box<dyn Any> = end.room;
        let slot = room.downcast::<WriteSlot>().expect("the slot");
        assert!(slot.commit(end.location.crc));
    }
    let mut blocks = Vec::new();
    to.get(2, &ids, 1000, &mut blocks);
    for (number, block) in blocks.into_iter().enumerate() {
        let block = block.expect("a block that came back");
        let same = block
            .as_slice()
            .iter()
            .all(|&byte| byte == number as u8 + 1);
        assert!(same, "block {number}");
    }
}
