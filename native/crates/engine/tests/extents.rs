//! Extents belong to one tenant at a time, and no view shows another tenant's bytes.

mod support;

use std::os::fd::AsRawFd;
use std::ptr;

use holdfast_engine::{Engine, EngineConfig, Reservation, SpaceSpec};
use support::{MIB, config, count, engine, get, id, put, reserve, space};

fn of_tenant(tenant: u32, number: u32, block_bytes: u32) -> SpaceSpec {
    SpaceSpec {
        tenant,
        ..space(number, block_bytes)
    }
}

/// A client's read-only mapping of one extent.
struct View(*mut libc::c_void);

impl View {
    fn map(file: &impl AsRawFd, protection: i32) -> Option<Self> {
        // SAFETY: a fresh mapping of a whole memory file at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                MIB as usize,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        (start != libc::MAP_FAILED).then_some(Self(start))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut copy = vec![0; MIB as usize];
        // SAFETY: the mapping is as long; a copy may be torn, which the test does not mind.
        unsafe { ptr::copy_nonoverlapping(self.0.cast(), copy.as_mut_ptr(), copy.len()) };
        copy
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length.
        unsafe { libc::munmap(self.0, MIB as usize) };
    }
}

fn fill_all(engine: &Engine, spec: &SpaceSpec, byte: u8, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let Reservation::Write(mut slot) = reserve(engine, spec, &[id(number)], 1, 0).remove(0)
        else {
            panic!("room for block {number}");
        };
        slot.as_mut_slice().fill(byte);
        assert!(slot.commit(0));
    }
}

#[test]
fn a_view_is_read_only_and_shows_the_block() {
    let engine = engine(2);
    let spec = of_tenant(1, 1, 64 << 10);
    assert!(put(&engine, &spec, id(1), 99, 0));
    let mut found = Vec::new();
    engine.locate(1, &[id(1), id(2)], 0, &mut found);
    let place = found[0].expect("a stored block");
    assert!(found[1].is_none());
    let file = engine.export_view(place.extent, place.view, 1);
    let file = file.expect("the view of a located block");
    assert!(View::map(&*file, libc::PROT_READ | libc::PROT_WRITE).is_none());
    let view = View::map(&*file, libc::PROT_READ).expect("a read-only mapping");
    let bytes = &view.bytes()[place.offset as usize..][..place.block_bytes as usize];
    assert!(support::is_filled(bytes, 99));
    // SAFETY: a descriptor that is open; shrinking must be refused.
    assert_ne!(unsafe { libc::ftruncate(file.as_raw_fd(), 0) }, 0);
    assert!(
        engine.export_view(place.extent, place.view, 2).is_none(),
        "another tenant"
    );
    assert!(
        engine
            .export_view(place.extent, place.view + 9, 1)
            .is_none()
    );
    assert!(engine.export_view(99, place.view, 1).is_none());
}

#[test]
fn an_old_view_never_shows_another_tenants_bytes() {
    let engine = engine(2);
    let (first, second) = (of_tenant(1, 1, 64 << 10), of_tenant(2, 2, 32 << 10));
    fill_all(&engine, &first, 0xAA, 0..32);
    let mut found = Vec::new();
    let ids: Vec<_> = (0..32).map(id).collect();
    engine.locate(1, &ids, 0, &mut found);
    let views: Vec<View> = found
        .iter()
        .flatten()
        .map(|place| {
            let file = engine.export_view(place.extent, place.view, 1);
            View::map(&*file.expect("a view"), libc::PROT_READ).expect("a mapping")
        })
        .collect();
    engine.drop_space(1);
    fill_all(&engine, &second, 0xBB, 0..64);
    for view in &views {
        assert!(view.bytes().iter().all(|&byte| byte != 0xBB));
    }
    for place in found.into_iter().flatten() {
        assert!(engine.export_view(place.extent, place.view, 1).is_none());
        assert!(
            engine.export_view(place.extent, place.view, 2).is_none(),
            "a stale view"
        );
    }
    assert_eq!(engine.stats().extents_moved, 2);
    engine.verify();
}

#[test]
fn a_new_view_never_shows_the_last_tenants_bytes() {
    let engine = engine(1);
    let (first, second) = (of_tenant(1, 1, 64 << 10), of_tenant(2, 2, 48 << 10));
    fill_all(&engine, &first, 0xAA, 0..16);
    engine.drop_space(1);
    fill_all(&engine, &second, 0xBB, 0..1);
    let mut found = Vec::new();
    engine.locate(2, &[id(0)], 0, &mut found);
    let place = found[0].expect("a stored block");
    let file = engine.export_view(place.extent, place.view, 2);
    let view = View::map(&*file.expect("a view"), libc::PROT_READ).expect("a mapping");
    assert!(view.bytes().iter().all(|&byte| byte != 0xAA));
}

#[test]
fn tenants_end_up_with_equal_shares() {
    let engine = engine(8);
    let first = of_tenant(1, 1, 64 << 10);
    let second = of_tenant(2, 2, 128 << 10);
    for number in 0..128 {
        assert!(put(&engine, &first, id(number), number, 0));
    }
    assert_eq!(engine.stats().tenants[0].extent_bytes, 8 * MIB);
    for number in 0..400 {
        assert!(put(&engine, &second, id(number), number, 0));
    }
    let stats = engine.stats();
    assert_eq!(stats.tenants[0].extent_bytes, 4 * MIB);
    assert_eq!(stats.tenants[1].extent_bytes, 4 * MIB);
    for number in 0..400 {
        put(&engine, &first, id(1000 + number), number, 0);
    }
    assert_eq!(
        engine.stats().tenants[1].extent_bytes,
        4 * MIB,
        "a share is safe"
    );
    for number in 0..400 {
        if let Some(block) = get(&engine, &second, id(number), 0) {
            assert!(support::is_filled(block.as_slice(), number));
        }
    }
    engine.verify();
}

#[test]
fn an_extent_with_held_blocks_does_not_move() {
    let engine = engine(1);
    let (first, second) = (of_tenant(1, 1, 64 << 10), of_tenant(2, 2, 64 << 10));
    assert!(put(&engine, &first, id(1), 7, 0));
    let held = get(&engine, &first, id(1), 0).expect("a stored block");
    assert!(
        !put(&engine, &second, id(2), 8, 0),
        "the only extent is held"
    );
    assert_eq!(engine.stats().busy, 1);
    assert!(support::is_filled(held.as_slice(), 7));
    drop(held);
    engine.delete(1, &[id(1)], &mut [false]);
    assert!(put(&engine, &second, id(2), 8, 0));
    engine.verify();
}

#[test]
fn a_new_block_size_of_one_tenant_takes_from_the_old() {
    let engine = engine(4);
    let (old, new) = (space(1, 32 << 10), space(2, 256 << 10));
    for number in 0..128 {
        assert!(put(&engine, &old, id(number), number, 0));
    }
    for number in 0..400 {
        assert!(put(&engine, &new, id(number), number, 0));
    }
    assert!(
        count(&engine, &new, 0..400, 0) >= 8,
        "the new size never grew"
    );
    assert!(engine.stats().extents_moved >= 2);
    engine.verify();
}

#[test]
fn a_block_as_large_as_an_extent_fits_and_a_larger_is_refused() {
    let engine = engine(2);
    let whole = space(1, MIB as u32);
    for number in 0..5 {
        assert!(put(&engine, &whole, id(number), number, 0));
    }
    assert_eq!(count(&engine, &whole, 0..5, 0), 2);
    let result = reserve(&engine, &space(2, MIB as u32 + 1), &[id(9)], 1, 0).remove(0);
    assert!(matches!(result, Reservation::Refused(_)), "{result:?}");
    let result = reserve(&engine, &space(3, 0), &[id(9)], 1, 0).remove(0);
    assert!(matches!(result, Reservation::Refused(_)), "{result:?}");
    engine.verify();
}

#[test]
fn the_arena_goes_with_its_last_holder() {
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("own mappings");
        maps.lines()
            .filter(|line| line.contains("holdfast-extent"))
            .count()
    };
    let engine = Engine::new(EngineConfig {
        arena_bytes: 3 * MIB,
        ..config(3)
    })
    .expect("an engine");
    let (start, bytes) = engine.arena_range();
    let range = start as usize..start as usize + bytes as usize;
    let spec = space(1, 4096);
    assert!(put(&engine, &spec, id(1), 5, 0));
    let held = get(&engine, &spec, id(1), 0).expect("a stored block");
    assert!(range.contains(&(held.as_ptr() as usize)));
    drop(engine);
    assert!(
        support::is_filled(held.as_slice(), 5),
        "a held block outlives its engine"
    );
    assert!(mapped() >= 1);
    drop(held);
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own mappings");
    let begin = format!("{:x}-", range.start);
    assert!(
        !maps
            .lines()
            .any(|line| line.starts_with(&begin) && line.contains("holdfast")),
        "the arena is still mapped"
    );
}
