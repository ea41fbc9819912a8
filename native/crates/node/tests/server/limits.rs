//! What is busy before any payload moves.

use holdfast_wire::{KeyStatus, Kind, TransportKind, Verdict};

use crate::block;
use crate::support::ops::keys_body;
use crate::support::rig::{BLOCK_BYTES, Rig, SPACE};
use crate::support::{eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;

fn count<T: PartialEq>(values: &[T], wanted: &T) -> usize {
    values.iter().filter(|value| *value == wanted).count()
}

#[test]
fn grants_are_bounded_by_the_connection() {
    let rig = Rig::with(|config| config.grant_bytes_max = 10 * u64::from(BLOCK_BYTES));
    let mut caller = rig.open(TCP);
    let (first, verdicts) = caller.ask_put(1, (0..16).map(id_of));
    assert_eq!(count(&verdicts, &Verdict::Want), 10);
    assert_eq!(count(&verdicts, &Verdict::Busy), 6);
    assert_eq!(rig.stats().granted_bytes, 10 * u64::from(BLOCK_BYTES));
    let (second, verdicts) = caller.ask_put(1, (100..103).map(id_of));
    assert_eq!(verdicts, [Verdict::Busy; 3]);
    assert_eq!(caller.put_done(second, 3), [KeyStatus::Busy; 3]);
    caller.send_payload(first, std::iter::empty());
    caller.put_done(first, 16);
    assert_eq!(caller.put(1, &[block(100)]), [KeyStatus::Stored]);
}

#[test]
fn grants_are_bounded_by_the_tenant() {
    let rig = Rig::with(|config| config.tenant_bytes_in_flight_max = 4 * u64::from(BLOCK_BYTES));
    let (mut one, mut other) = (rig.open(TCP), rig.open(TCP));
    let (_, verdicts) = one.ask_put(1, (0..3).map(id_of));
    assert_eq!(verdicts, [Verdict::Want; 3]);
    let (_, verdicts) = other.ask_put(2, (10..13).map(id_of));
    assert_eq!(verdicts, [Verdict::Want, Verdict::Busy, Verdict::Busy]);
    drop(one);
    eventually("the first one's bytes are given back", || {
        rig.stats().granted_bytes == u64::from(BLOCK_BYTES)
    });
}

#[test]
fn what_is_stored_needs_no_grant() {
    let rig = Rig::with(|config| config.grant_bytes_max = 4 * u64::from(BLOCK_BYTES));
    let mut caller = rig.open(TCP);
    for number in 0..12 {
        assert_eq!(caller.put(1, &[block(number)]), [KeyStatus::Stored]);
    }
    let all: Vec<_> = (0..12).map(block).collect();
    assert_eq!(caller.put(2, &all), [KeyStatus::Present; 12]);
}

#[test]
fn a_block_larger_than_any_grant_is_refused() {
    let rig = Rig::with(|config| config.grant_bytes_max = 1000);
    let mut caller = rig.open(TCP);
    assert_eq!(caller.put(1, &[block(0)]), [KeyStatus::Refused]);
    assert_eq!(rig.counter("keys_refused"), 1);
}

#[test]
fn blocks_held_for_answers_are_bounded() {
    let rig = Rig::with(|config| config.pin_bytes_max = 400 * u64::from(BLOCK_BYTES));
    let mut caller = rig.open(TCP);
    let ids: Vec<_> = (0..300).map(id_of).collect();
    for from in (0..300).step_by(50) {
        caller.put(1, &(from..from + 50).map(block).collect::<Vec<_>>());
    }
    let found = caller.get(&ids);
    let statuses: Vec<_> = found.iter().map(|(status, _)| *status).collect();
    assert_eq!(
        count(&statuses, &KeyStatus::Hit),
        200,
        "half of the tenant's bound"
    );
    assert_eq!(count(&statuses, &KeyStatus::Busy), 100);
    assert_eq!(rig.counter("keys_busy"), 100);
    eventually("nothing held", || rig.is_at_rest());
    // Two stalled readers use the tenant's whole bound up; a third is told so.
    let mut readers: Vec<_> = (0..2).map(|_| rig.open(TCP)).collect();
    for reader in &mut readers {
        reader.send(Kind::Get, &keys_body(SPACE, 0, &ids[..200]));
    }
    eventually("both are answered", || {
        rig.stats().pinned_bytes == 400 * u64::from(BLOCK_BYTES)
    });
    let found = caller.get(&ids[..2]);
    assert!(found.iter().all(|(status, _)| *status == KeyStatus::Busy));
}

#[test]
fn a_full_arena_of_readers_makes_puts_busy_not_wrong() {
    let rig = Rig::with(|config| config.engine.arena_bytes = 16 << 20);
    let mut caller = rig.open(TCP);
    let (_, verdicts) = caller.ask_put(1, (0..400).map(id_of));
    let wanted = count(&verdicts, &Verdict::Want);
    assert!(
        (200..=256).contains(&wanted),
        "{wanted} blocks of 64 KiB in 16 MiB"
    );
    assert_eq!(count(&verdicts, &Verdict::Busy), 400 - wanted);
}
