use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use crate::bucket::{BUCKET_ENTRIES, Bucket};
use crate::{Slot, SlotHashes, Table};

#[derive(Default)]
struct Hashes(RefCell<Vec<u64>>);

impl SlotHashes for Hashes {
    fn hash_of(&self, slot: Slot) -> u64 {
        self.0.borrow()[slot as usize]
    }
    fn prefetch(&self, _slot: Slot) {}
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (value ^ (value >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ (value >> 32)
}

#[test]
fn a_bucket_keeps_28_bits_of_each_slot() {
    // SAFETY: any bytes are a bucket.
    let mut bucket: Bucket = unsafe { std::mem::zeroed() };
    let slot = |entry: usize| 0x0FED_CBA0 ^ (entry as u32 * 0x0111_1111) & 0x0FFF_FFFF;
    for entry in 0..BUCKET_ENTRIES {
        assert!(bucket.push(entry as u8, slot(entry)));
    }
    assert!(!bucket.push(0, 0));
    for entry in 0..BUCKET_ENTRIES {
        assert_eq!(bucket.slot(entry), slot(entry));
        assert_eq!(bucket.matches(entry as u8), 1 << entry);
    }
    assert_eq!(bucket.take(3), slot(3));
    assert_eq!(bucket.slot(3), slot(13));
    assert_eq!(bucket.count(), 13);
    assert_eq!(bucket.matches(3), 0);
}

#[test]
fn growth_keeps_every_entry_and_the_memory_bound() {
    let count = 300_000u32;
    let hashes = Hashes(RefCell::new((0..u64::from(count)).map(mix).collect()));
    let mut table = Table::new(u64::from(count), 0, false).expect("memory for a table");
    let mut worst = 0.0f64;
    for slot in 0..count {
        assert!(table.insert(hashes.hash_of(slot), slot, &hashes));
        if slot >= 100_000 {
            worst = worst.max(table.bytes() as f64 / f64::from(slot));
        }
        let probed = slot / 2;
        let probe = table.probe(hashes.hash_of(probed));
        assert_eq!(table.find(probe, |found| found == probed), Some(probed));
    }
    assert!(worst < 5.3, "{worst} bytes of table for an entry");
    for slot in 0..count {
        let probe = table.probe(hashes.hash_of(slot));
        assert_eq!(table.find(probe, |found| found == slot), Some(slot));
    }
}

#[test]
fn colliding_ids_are_refused_and_harm_nobody() {
    let hashes = Hashes(RefCell::new(vec![7 << 32 | 9; 100]));
    let mut table = Table::new(1000, 0, false).expect("memory for a table");
    let placed = (0..100).filter(|&slot| table.insert(hashes.hash_of(slot), slot, &hashes));
    let placed: Vec<Slot> = placed.collect();
    assert!((BUCKET_ENTRIES..=2 * BUCKET_ENTRIES).contains(&placed.len()));
    for slot in placed {
        let probe = table.probe(hashes.hash_of(slot));
        assert_eq!(table.find(probe, |found| found == slot), Some(slot));
        table.remove(hashes.hash_of(slot), slot);
    }
    assert_eq!(table.len(), 0);
}

proptest! {
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec((0u64..400, any::<bool>()), 1..3000)) {
        let hashes = Hashes::default();
        let mut table = Table::new(10_000, 0, false).expect("memory for a table");
        let mut model: HashMap<u64, Slot> = HashMap::new();
        for (key, insert) in steps {
            let probe = table.probe(mix(key));
            let found = table.find(probe, |slot| model.get(&key) == Some(&slot));
            prop_assert_eq!(found, model.get(&key).copied());
            if insert && found.is_none() {
                let slot = hashes.0.borrow().len() as Slot;
                hashes.0.borrow_mut().push(mix(key));
                prop_assert!(table.insert(mix(key), slot, &hashes));
                model.insert(key, slot);
            } else if let (false, Some(slot)) = (insert, found) {
                table.remove(mix(key), slot);
                model.remove(&key);
            }
            prop_assert_eq!(table.len(), model.len() as u64);
        }
    }
}
