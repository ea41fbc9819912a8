//! Every operation against real nodes, over TCP and over shared memory.

mod support;

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use holdfast_client::{
    Client, ClusterMap, OperationKind, Plane, Region, Segments, TransportChoice,
};
use holdfast_transport::{Mapping, MemoryFile};
use holdfast_wire::{KeyStatus, SpaceKey};
use support::real::{BOOT, RealNode};
use support::{
    CLUSTER, Memory, SPACE, TENANT, call, client, config, eventually, finish, keys_of, map,
    random_bytes, start,
};

const DEADLINE_MS: u64 = 20_000;

fn connected(
    transport: TransportChoice,
    block_bytes: usize,
    copies: u8,
    map: ClusterMap,
) -> Client {
    let mut settings = config();
    settings.transport = transport;
    BOOT.clone_into(&mut settings.boot_id);
    client(settings, block_bytes as u32, copies, map)
}

/// Memory behind a memory file, which a node of this host can read itself.
fn shared_memory(bytes: &[u8], name: &CStr) -> Arc<Region> {
    let file = MemoryFile::create(name, bytes.len() as u64).expect("memory file");
    file.seal_size().expect("seals");
    let mapping = Mapping::writable(file.as_fd(), bytes.len()).expect("mapping");
    // SAFETY: the mapping is as long as the bytes and nobody else has it yet.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), mapping.address(), bytes.len()) };
    let (address, nbytes) = (mapping.address() as usize, mapping.bytes());
    let descriptor = file.into_descriptor();
    // SAFETY: the mapping is the owner.
    Arc::new(unsafe {
        Region::new(
            address,
            nbytes,
            false,
            Box::new(mapping),
            Some((descriptor, 0)),
        )
    })
}

fn whole(region: &Arc<Region>, blocks: usize, block_bytes: usize) -> Arc<Segments> {
    let plane = Plane {
        region: Arc::clone(region),
        base: 0,
        block_stride: block_bytes as i64,
        runs: 1,
        run_stride: 0,
        run_bytes: block_bytes,
    };
    let indices = (0..blocks as i64).collect();
    Arc::new(Segments::new(vec![plane], indices).expect("segments"))
}

/// Runs a test over both transports.
fn on_both(test: impl Fn(TransportChoice)) {
    for transport in [TransportChoice::Tcp, TransportChoice::SharedMemory] {
        test(transport);
    }
}

#[test]
fn every_operation() {
    on_both(|transport| {
        let node = RealNode::start(1, 64);
        let one = map(1, std::slice::from_ref(&node.entry), &[]);
        let (blocks, bytes) = (40, 300_001);
        let client = connected(transport, bytes, 1, one);
        let keys = keys_of(blocks, 0);
        let content = random_bytes(blocks * bytes, 3);
        let source = Memory::of(content.clone());
        let segments = source.segments(blocks, bytes);
        let go = |kind, segments| call(&client, kind, &keys, segments, DEADLINE_MS);
        assert_eq!(
            go(OperationKind::Exists, None),
            vec![KeyStatus::Miss; blocks]
        );
        assert_eq!(
            go(OperationKind::Put, Some(&segments)),
            vec![KeyStatus::Stored; blocks]
        );
        assert_eq!(
            go(OperationKind::Put, Some(&segments)),
            vec![KeyStatus::Present; blocks]
        );
        assert_eq!(
            go(OperationKind::Exists, None),
            vec![KeyStatus::Hit; blocks]
        );
        assert_eq!(go(OperationKind::Pin, None), vec![KeyStatus::Hit; blocks]);
        let target = Memory::new(blocks * bytes);
        let into = target.segments(blocks, bytes);
        assert_eq!(
            go(OperationKind::Get, Some(&into)),
            vec![KeyStatus::Hit; blocks]
        );
        assert!(target.bytes() == content, "other bytes came back");
        let stat = start(&client, OperationKind::Stat, &keys, None, DEADLINE_MS);
        assert_eq!(finish(&stat), vec![KeyStatus::Hit; blocks]);
        let facts = &stat.result().expect("done").stats;
        let (holder, fact) = facts[7].expect("a fact");
        assert_eq!(holder, 1);
        let block = &content[7 * bytes..8 * bytes];
        assert_eq!(fact.crc, holdfast_wire::checksum::crc32c(block));
        assert!(fact.pinned);
        assert_eq!(
            go(OperationKind::Delete, None),
            vec![KeyStatus::Hit; blocks]
        );
        assert_eq!(
            go(OperationKind::Delete, None),
            vec![KeyStatus::Miss; blocks]
        );
        assert_eq!(
            go(OperationKind::Get, Some(&into)),
            vec![KeyStatus::Miss; blocks]
        );
    });
}

#[test]
fn hits_land_in_their_places_among_misses() {
    on_both(|transport| {
        let node = RealNode::start(1, 64);
        let one = map(1, std::slice::from_ref(&node.entry), &[]);
        let (blocks, bytes) = (60, 40_000);
        let client = connected(transport, bytes, 1, one);
        let keys = keys_of(blocks, 0);
        let content = random_bytes(blocks * bytes, 31);
        let source = Memory::of(content.clone());
        let segments = source.segments(blocks, bytes);
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&segments),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; blocks]);
        let gone: Vec<[u8; 32]> = keys.iter().step_by(3).copied().collect();
        let deleted = call(&client, OperationKind::Delete, &gone, None, DEADLINE_MS);
        assert_eq!(deleted, vec![KeyStatus::Hit; gone.len()]);
        let target = Memory::new(blocks * bytes);
        let into = target.segments(blocks, bytes);
        let got = call(&client, OperationKind::Get, &keys, Some(&into), DEADLINE_MS);
        let read = target.bytes();
        for key in 0..blocks {
            let there = key % 3 != 0;
            assert_eq!(got[key] == KeyStatus::Hit, there, "{got:?}");
            let place = key * bytes..(key + 1) * bytes;
            assert!(
                !there || read[place.clone()] == content[place],
                "block {key}"
            );
        }
    });
}

#[test]
fn strided_planes_of_a_paged_cache() {
    on_both(|transport| {
        let node = RealNode::start(1, 64);
        let one = map(1, std::slice::from_ref(&node.entry), &[]);
        // layers x (keys, values) x blocks x bytes, as an engine's cache lies in memory.
        let (layers, pages, run) = (5usize, 24usize, 3000usize);
        let layer_bytes = 2 * pages * run;
        let block_bytes = layers * 2 * run;
        let client = connected(transport, block_bytes, 1, one);
        let segments = |region: &Arc<Region>, indices: Vec<i64>| {
            let planes = (0..layers)
                .map(|layer| Plane {
                    region: Arc::clone(region),
                    base: (layer * layer_bytes) as i64,
                    block_stride: run as i64,
                    runs: 2,
                    run_stride: (pages * run) as i64,
                    run_bytes: run,
                })
                .collect();
            Arc::new(Segments::new(planes, indices).expect("segments"))
        };
        let content = random_bytes(layers * layer_bytes, 8);
        let source = shared_memory(&content, c"source");
        let keys = keys_of(pages, 0);
        let forward = segments(&source, (0..pages as i64).collect());
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&forward),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; pages]);
        let target = Memory::new(content.len());
        let into = segments(&target.region, (0..pages as i64).rev().collect());
        let got = call(&client, OperationKind::Get, &keys, Some(&into), DEADLINE_MS);
        assert_eq!(got, vec![KeyStatus::Hit; pages]);
        let read = target.bytes();
        for (row, before) in content.chunks(run).enumerate() {
            let mirrored = row / pages * pages + (pages - 1 - row % pages);
            assert_eq!(before, &read[mirrored * run..][..run], "row {row}");
        }
    });
}

#[test]
fn offered_memory_is_copied_by_the_node() {
    let node = RealNode::start(1, 64);
    let one = map(1, std::slice::from_ref(&node.entry), &[]);
    let (blocks, bytes) = (16, 1 << 20);
    let client = connected(TransportChoice::SharedMemory, bytes, 1, one);
    let content = random_bytes(blocks * bytes, 12);
    let source = shared_memory(&content, c"offered");
    let segments = whole(&source, blocks, bytes);
    let keys = keys_of(blocks, 0);
    let put = call(
        &client,
        OperationKind::Put,
        &keys,
        Some(&segments),
        DEADLINE_MS,
    );
    assert_eq!(put, vec![KeyStatus::Stored; blocks]);
    let target = Memory::new(blocks * bytes);
    let into = target.segments(blocks, bytes);
    let got = call(&client, OperationKind::Get, &keys, Some(&into), DEADLINE_MS);
    assert_eq!(got, vec![KeyStatus::Hit; blocks]);
    assert!(target.bytes() == content, "other bytes came back");
    let stats = client.node_stats().expect("stats");
    assert_eq!(stats[0].transport, "shm");
    assert!(stats[0].views > 0, "the copy did not come from a view");
    assert!(
        stats[0].bytes_received < 1 << 20,
        "payload went over the socket: {}",
        stats[0].bytes_received
    );
    assert!(source.close(Instant::now()));
}

#[test]
fn duplicates_in_one_put_share_one_result() {
    on_both(|transport| {
        let node = RealNode::start(1, 64);
        let one = map(1, std::slice::from_ref(&node.entry), &[]);
        let bytes = 10_000;
        let client = connected(transport, bytes, 1, one);
        let mut keys = keys_of(4, 0);
        keys[2] = keys[0];
        keys[3] = keys[0];
        let content = random_bytes(4 * bytes, 1);
        let source = Memory::of(content.clone());
        let segments = source.segments(4, bytes);
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&segments),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; 4]);
        let target = Memory::new(4 * bytes);
        let into = target.segments(4, bytes);
        let got = call(&client, OperationKind::Get, &keys, Some(&into), DEADLINE_MS);
        assert_eq!(got, vec![KeyStatus::Hit; 4]);
        let read = target.bytes();
        assert!(
            read[2 * bytes..3 * bytes] == content[..bytes],
            "not the first one's bytes"
        );
        assert!(
            read[3 * bytes..] == content[..bytes],
            "not the first one's bytes"
        );
    });
}

#[test]
fn a_damaged_block_is_never_handed_out() {
    on_both(|transport| {
        let node = RealNode::start(1, 64);
        let one = map(1, std::slice::from_ref(&node.entry), &[]);
        let (blocks, bytes) = (8, 100_000);
        let client = connected(transport, bytes, 1, one);
        let keys = keys_of(blocks, 0);
        let content = random_bytes(blocks * bytes, 2);
        let source = Memory::of(content.clone());
        let segments = source.segments(blocks, bytes);
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&segments),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; blocks]);
        let id = SpaceKey::new(&CLUSTER, TENANT, SPACE).block_id(&keys[3]);
        assert!(node.node.flip_bit(SPACE, &id, 77_777).expect("flip"));
        let target = Memory::new(blocks * bytes);
        let into = target.segments(blocks, bytes);
        let got = call(&client, OperationKind::Get, &keys, Some(&into), DEADLINE_MS);
        for (key, status) in got.iter().enumerate() {
            assert_eq!(*status == KeyStatus::Hit, key != 3, "{got:?}");
        }
        eventually("the node has dropped it", || {
            let found = call(
                &client,
                OperationKind::Exists,
                &keys[3..4],
                None,
                DEADLINE_MS,
            );
            (found == [KeyStatus::Miss]).then_some(())
        });
    });
}

#[test]
fn a_stopped_node_costs_misses_and_its_successor_is_found() {
    on_both(|transport| {
        let first = RealNode::start(1, 64);
        let bytes = 50_000;
        let client = connected(
            transport,
            bytes,
            1,
            map(1, std::slice::from_ref(&first.entry), &[]),
        );
        let keys = keys_of(20, 0);
        let source = Memory::of(random_bytes(20 * bytes, 4));
        let segments = source.segments(20, bytes);
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&segments),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; 20]);
        first.node.stop(0);
        let lost = call(&client, OperationKind::Exists, &keys, None, DEADLINE_MS);
        assert_eq!(lost, vec![KeyStatus::Unreachable; 20]);
        drop(first);
        let second = RealNode::start(1, 64);
        let mut entry = second.entry.clone();
        entry.incarnation = 2;
        client.set_map(map(2, &[entry], &[])).expect("map");
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&segments),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; 20]);
    });
}

#[test]
fn shared_memory_falls_back_to_tcp() {
    let node = RealNode::start(1, 64);
    let mut entry = node.entry.clone();
    entry.unix_path = "/nonexistent/socket".to_owned();
    let client = connected(TransportChoice::Auto, 1000, 1, map(1, &[entry], &[]));
    let keys = keys_of(3, 0);
    let found = call(&client, OperationKind::Exists, &keys, None, DEADLINE_MS);
    assert_eq!(found, vec![KeyStatus::Miss; 3]);
    assert_eq!(client.node_stats().expect("stats")[0].transport, "tcp");
}

#[test]
fn a_refused_ticket_is_told_in_words() {
    let node = RealNode::start(1, 64);
    let one = map(1, std::slice::from_ref(&node.entry), &[]);
    let client = connected(TransportChoice::Tcp, 1000, 1, one);
    client.set_tenant_ticket(&[1; 140]).expect("length");
    let keys = keys_of(3, 0);
    let found = call(&client, OperationKind::Exists, &keys, None, DEADLINE_MS);
    assert_eq!(found, vec![KeyStatus::Unreachable; 3]);
    let error = client.node_stats().expect("stats")[0].last_error.clone();
    assert!(error.contains("Unauthenticated"), "{error}");
}

#[test]
fn a_batch_larger_than_one_request_is_split() {
    on_both(|transport| {
        let node = RealNode::start_with(1, 256, |config| config.grant_bytes_max = 70 << 20);
        let one = map(1, std::slice::from_ref(&node.entry), &[]);
        let (blocks, bytes) = (150, 1 << 20);
        let client = connected(transport, bytes, 1, one);
        let keys = keys_of(blocks, 0);
        let content = random_bytes(blocks * bytes, 21);
        let source = Memory::of(content.clone());
        let segments = source.segments(blocks, bytes);
        let put = call(
            &client,
            OperationKind::Put,
            &keys,
            Some(&segments),
            DEADLINE_MS,
        );
        assert_eq!(put, vec![KeyStatus::Stored; blocks]);
        let target = Memory::new(blocks * bytes);
        let into = target.segments(blocks, bytes);
        let got = call(&client, OperationKind::Get, &keys, Some(&into), DEADLINE_MS);
        assert_eq!(got, vec![KeyStatus::Hit; blocks]);
        assert!(target.bytes() == content, "other bytes came back");
    });
}
