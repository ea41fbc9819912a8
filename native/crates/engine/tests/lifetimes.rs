//! Time to live, pins, limits, walks, corruption.

mod support;

use std::collections::HashSet;

use holdfast_engine::{Engine, EngineConfig, PutKey, RefusedReason, Reservation, SpaceSpec};
use support::{MIB, config, count, engine, exists, get, granted, id, put, reserve, space};

#[test]
fn expired_blocks_are_misses_and_are_swept() {
    let engine = engine(2);
    let spec = SpaceSpec {
        ttl_s: 1,
        ..space(1, 4096)
    };
    for number in 0..100 {
        assert!(put(&engine, &spec, id(number), number, 50_000));
    }
    assert_eq!(count(&engine, &spec, 0..100, 50_950), 100);
    assert_eq!(count(&engine, &spec, 0..100, 51_000), 0);
    assert_eq!(engine.stats().blocks, 100);
    let mut dropped = 0;
    for _ in 0..10 {
        dropped += engine.sweep(51_000, 30);
    }
    assert_eq!(dropped, 100);
    assert_eq!(engine.stats().expired, 100);
    assert_eq!(engine.stats().used_bytes, 0);
    assert_eq!(engine.stats().extents_free, 2);
    engine.verify();
}

#[test]
fn ages_and_time_left_are_told() {
    let engine = engine(1);
    let spec = SpaceSpec {
        ttl_s: 64,
        ..space(1, 4096)
    };
    assert!(put(&engine, &spec, id(1), 1, 10_000));
    let mut stats = Vec::new();
    engine.stat(1, &[id(1), id(2)], 42_000, &mut stats);
    let stat = stats[0].expect("a stored block");
    assert_eq!((stat.age_ms, stat.touches, stat.pinned), (32_000, 1, false));
    assert!(stats[1].is_none());
    let mut listed = Vec::new();
    assert_eq!(engine.list(0, 10, 1, &|_| true, 42_000, &mut listed), 0);
    assert_eq!(listed[0].ttl_left_ms, Some(32_000));
    assert_eq!((listed[0].space, listed[0].tenant), (1, 1));
}

#[test]
fn a_copy_lives_no_longer_than_its_original() {
    let engine = engine(1);
    let spec = SpaceSpec {
        ttl_s: 64,
        ..space(1, 4096)
    };
    for (number, age_ms) in [(1, 0), (2, 40_000), (3, 1 << 40)] {
        let key = PutKey {
            id: id(number),
            position: 0,
        };
        let mut out = Vec::new();
        // Sooner after the clock's beginning than the copies are old.
        engine.reserve_copies(&spec, &[key], 1, age_ms, 10_000, &mut out);
        assert!(granted(out.remove(0)).commit(0));
    }
    let living = |now| {
        let ids = [id(1), id(2), id(3)];
        exists(&engine, &spec, &ids, now)
    };
    assert_eq!(living(10_000), [true, true, false]);
    assert_eq!(living(33_000), [true, true, false]);
    assert_eq!(living(34_000), [true, false, false]);
    assert_eq!(living(73_000), [true, false, false]);
    assert_eq!(living(74_000), [false, false, false]);
    let mut listed = Vec::new();
    engine.list(0, 10, 1, &|_| true, 30_000, &mut listed);
    let mut left: Vec<_> = listed.iter().map(|block| block.ttl_left_ms).collect();
    left.sort_unstable();
    assert_eq!(left, [Some(4_000), Some(44_000)]);
}

#[test]
fn a_copy_that_is_on_its_way_obeys_a_delete() {
    let engine = engine(1);
    let spec = space(1, 4096);
    let key = PutKey {
        id: id(1),
        position: 0,
    };
    let copy = || {
        let mut out = Vec::new();
        engine.reserve_copies(&spec, &[key], 7, 0, 0, &mut out);
        granted(out.remove(0))
    };
    let delete = || {
        let mut deleted = [true];
        engine.delete(1, &[id(1)], &mut deleted);
        deleted[0]
    };
    let alone = copy();
    assert!(!delete(), "nothing was there to be read");
    assert!(!alone.commit(0));
    assert!(get(&engine, &spec, id(1), 0).is_none());

    // Bytes that are put after the delete outlive the copy of those before it.
    let late = copy();
    assert!(!delete());
    assert!(put(&engine, &spec, id(1), 1, 0));
    assert!(!late.commit(0));
    let found = get(&engine, &spec, id(1), 0).expect("the later bytes");
    assert!(support::is_filled(found.as_slice(), 1));
    drop(found);

    // A put of the caller's own is not a copy: it counts as later than the delete.
    assert!(delete());
    let own = granted(reserve(&engine, &spec, &[id(1)], 8, 0).remove(0));
    assert!(!delete());
    assert!(own.commit(0));
    let stats = engine.stats();
    assert_eq!((stats.blocks, stats.blocks_in_flight), (1, 0));
    engine.verify();
}

#[test]
fn expired_blocks_stay_so_however_long_nobody_looked() {
    // Births are kept modulo 2^16 units of 15 ms.
    let cycle_ms = (1 << 16) * 15;
    for asleep_ms in [cycle_ms, cycle_ms + 500, 3 * cycle_ms, cycle_ms / 2] {
        let engine = engine(2);
        let spec = SpaceSpec {
            ttl_s: 1,
            ..space(1, 4096)
        };
        let endless = space(2, 4096);
        assert!(put(&engine, &spec, id(1), 1, 50_000));
        assert!(put(&engine, &endless, id(1), 1, 50_000));
        let now = 50_000 + asleep_ms;
        assert_eq!(
            exists(&engine, &spec, &[id(1)], now),
            [false],
            "{asleep_ms}"
        );
        assert_eq!(exists(&engine, &endless, &[id(1)], now), [true]);
        assert!(put(&engine, &spec, id(1), 2, now), "it can be put anew");
        assert_eq!(exists(&engine, &spec, &[id(1)], now + 900), [true]);
        while engine.sweep(now, 1000) > 0 {}
        assert_eq!(engine.stats().blocks, 2);
        engine.verify();
    }
}

#[test]
fn timed_pins_keep_blocks_until_their_end() {
    let engine = engine(1);
    let spec = space(1, 64 << 10);
    for number in 0..16 {
        assert!(put(&engine, &spec, id(number), number, 0));
    }
    let ids: Vec<_> = (0..4).map(id).collect();
    let mut done = [false; 4];
    engine.pin(1, &ids, 1000, 0, &mut done);
    assert_eq!(done, [true; 4]);
    assert_eq!(engine.stats().pinned_bytes, 4 * (64 << 10));
    for number in 100..150 {
        assert!(put(&engine, &spec, id(number), number, 10));
    }
    assert_eq!(count(&engine, &spec, 0..16, 10), 4, "the pinned ones");
    engine.pin(1, &ids[..1], 0, 10, &mut done[..1]);
    assert!(done[0]);
    engine.verify();
    for number in 200..250 {
        assert!(put(&engine, &spec, id(number), number, 1000));
    }
    assert_eq!(count(&engine, &spec, 0..16, 1000), 0, "all ended");
    assert_eq!(engine.stats().pinned_bytes, 0);
    engine.verify();
}

#[test]
fn timed_pins_are_bounded_for_each_tenant() {
    let engine = Engine::new(EngineConfig {
        pin_bytes_max: 100 << 10,
        ..config(1)
    })
    .expect("an engine");
    let spec = space(1, 40 << 10);
    let ids: Vec<_> = (0..4).map(id).collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(put(&engine, &spec, *id, number as u64, 0));
    }
    let mut done = [false; 4];
    engine.pin(1, &ids, 1000, 0, &mut done);
    assert_eq!(done, [true, true, false, false]);
    engine.pin(1, &ids[..1], 2000, 0, &mut done[..1]);
    assert!(
        done[0],
        "a longer hold of the same block costs nothing more"
    );
    engine.delete(1, &ids[..1], &mut done[..1]);
    engine.pin(1, &ids[2..3], 1000, 0, &mut done[..1]);
    assert!(done[0], "a deleted block's hold is free again");
    engine.pin(1, &[id(77)], 1000, 0, &mut done[..1]);
    assert!(!done[0], "no such block");
    engine.verify();
}

#[test]
fn everything_held_is_busy_not_wrong() {
    let engine = engine(1);
    let spec = space(1, 256 << 10);
    for number in 0..4 {
        assert!(put(&engine, &spec, id(number), number, 0));
    }
    let held: Vec<_> = (0..4)
        .map(|number| get(&engine, &spec, id(number), 0))
        .collect();
    let result = reserve(&engine, &spec, &[id(9)], 1, 0).remove(0);
    assert!(matches!(result, Reservation::Busy), "{result:?}");
    engine.release_batch(held.into_iter().flatten());
    assert_eq!(engine.stats().pins, 0);
    assert!(put(&engine, &spec, id(9), 9, 0));
    engine.verify();
}

#[test]
fn a_tenant_stays_within_its_limit() {
    let engine = engine(4);
    let spec = space(1, 64 << 10);
    engine.set_tenant_limit(1, Some(10 * (64 << 10)));
    for number in 0..64 {
        assert!(put(&engine, &spec, id(number), number, 0));
        assert!(engine.stats().tenants[0].used_bytes <= 10 * (64 << 10));
    }
    assert_eq!(engine.stats().blocks, 10);
    engine.set_tenant_limit(1, Some(1000));
    let result = reserve(&engine, &spec, &[id(99)], 1, 0).remove(0);
    let refused = RefusedReason::Quota { limit_bytes: 1000 };
    assert!(matches!(result, Reservation::Refused(reason) if reason == refused));
    engine.set_tenant_limit(1, None);
    for number in 100..164 {
        assert!(put(&engine, &spec, id(number), number, 0));
    }
    assert_eq!(engine.stats().blocks, 64);
    engine.verify();
}

#[test]
fn a_lowered_limit_is_reached_by_later_puts() {
    let engine = engine(4);
    let (one, two) = (space(1, 64 << 10), space(2, 32 << 10));
    for number in 0..48 {
        assert!(put(&engine, &one, id(number), number, 0));
    }
    engine.set_tenant_limit(1, Some(MIB));
    assert!(put(&engine, &two, id(1), 1, 0));
    assert!(engine.stats().tenants[0].used_bytes <= MIB);
    engine.verify();
}

#[test]
fn flipped_bytes_are_dropped_and_counted() {
    let engine = engine(1);
    let spec = space(1, 64 << 10);
    assert!(put(&engine, &spec, id(1), 1, 0));
    assert!(put(&engine, &spec, id(2), 2, 0));
    assert!(!engine.drop_if_corrupt(1, &id(1), 1), "the bytes are right");
    let address = get(&engine, &spec, id(1), 0)
        .expect("a block")
        .as_ptr()
        .cast_mut();
    // SAFETY: inside of the arena, which the engine maps writable; nobody else uses the engine.
    unsafe { *address.add(1000) ^= 0x40 };
    assert!(
        !engine.drop_if_corrupt(1, &id(1), 77),
        "another put's block"
    );
    assert!(engine.drop_if_corrupt(1, &id(1), 1));
    assert_eq!(exists(&engine, &spec, &[id(1), id(2)], 0), [false, true]);
    assert_eq!(engine.stats().corrupt, 1);
    engine.verify();
}

#[test]
fn list_meets_every_block_once() {
    let engine = engine(3);
    let (one, two) = (space(1, 4096), space(2, 64 << 10));
    for number in 0..300 {
        assert!(put(&engine, &one, id(number), number, 0));
    }
    for number in 0..10 {
        assert!(put(&engine, &two, id(number), number, 0));
    }
    let half = |group: u32| group < 50;
    let (mut cursor, mut listed, mut calls) = (0, Vec::new(), 0);
    loop {
        cursor = engine.list(cursor, 7, 100, &half, 0, &mut listed);
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert!(calls > 10, "few at a time");
    let seen: HashSet<_> = listed.iter().map(|block| (block.space, block.id)).collect();
    assert_eq!(seen.len(), listed.len());
    let group = |number: &u64| holdfast_wire::group_of(&id(*number), 100);
    let expected = (0..300).filter(|number| half(group(number))).count()
        + (0..10).filter(|number| half(group(number))).count();
    assert_eq!(listed.len(), expected);
}

#[test]
fn groups_that_move_away_are_dropped_bit_by_bit() {
    let engine = engine(2);
    let spec = space(1, 4096);
    for number in 0..200 {
        assert!(put(&engine, &spec, id(number), number, 0));
    }
    let flying: Vec<_> = (500..520)
        .map(|number| {
            (
                number,
                granted(reserve(&engine, &spec, &[id(number)], 1, 0).remove(0)),
            )
        })
        .collect();
    let keep = |group: u32| group.is_multiple_of(2);
    let (mut cursor, mut calls) = (0, 0);
    loop {
        cursor = engine.retain_groups(cursor, 50, 64, &keep);
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert!(calls >= 4, "a bounded part at a time");
    let kept = |number: u64| keep(holdfast_wire::group_of(&id(number), 64));
    for number in 0..200 {
        assert_eq!(exists(&engine, &spec, &[id(number)], 0), [kept(number)]);
    }
    for (number, slot) in flying {
        assert_eq!(
            slot.commit(0),
            kept(number),
            "a write of a group that moved away"
        );
    }
    engine.verify();
}

#[test]
fn a_large_dropped_space_is_reclaimed_by_puts_and_sweeps() {
    let engine = engine(6);
    let (old, new) = (space(1, 64), space(2, 64));
    let count_old = 80_000;
    let ids: Vec<_> = (0..count_old).map(id).collect();
    for ids in ids.chunks(1000) {
        assert_eq!(support::put_prefix(&engine, &old, ids, 0), 1000);
    }
    engine.drop_space(1);
    assert_eq!(count(&engine, &old, 0..count_old, 0), 0);
    assert!(engine.stats().blocks > 0, "a part is left for later");
    assert!(put(&engine, &new, id(1), 1, 0));
    let mut rounds = 0;
    while engine.stats().blocks > 1 {
        engine.sweep(0, 10_000);
        rounds += 1;
        assert!(rounds < 100, "a sweep never ends");
    }
    assert_eq!(count(&engine, &new, 1..2, 0), 1);
    assert!(
        put(&engine, &old, id(1), 1, 0),
        "the number may be used again here"
    );
    engine.verify();
}

#[test]
fn tenants_that_come_and_go_leave_nothing_behind() {
    let engine = engine(2);
    let visit = |tenant: u32| {
        let spec = SpaceSpec {
            tenant,
            ..space(tenant, 64 << 10)
        };
        assert!(put(&engine, &spec, id(1), 1, 0));
        assert!(get(&engine, &spec, id(1), 0).is_some());
        engine.drop_space(tenant);
    };
    (0..1100).for_each(visit);
    let bytes = engine.index_bytes();
    (1100..3000).for_each(visit);
    let grown = engine.index_bytes() - bytes;
    // What is left is a few bytes for each space and tenant ever seen.
    assert!(grown < 400 * 1900, "{grown} bytes more after 1900 tenants");
    engine.verify();
}
