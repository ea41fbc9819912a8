//! Random operations for the log on disk and its twin side by side.

use holdfast_consensus::{Compaction, DurableLog, EntryRecord, MemoryLog, Recovered};

use crate::entries::{entries, hard_state, start};

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// `HOLDFAST_SEED` alone, or the first `HOLDFAST_SEEDS`, or the first `count`.
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name| {
        let given = std::env::var(name).ok();
        given.map(|number| {
            number
                .parse()
                .unwrap_or_else(|_| panic!("{name} is a number"))
        })
    };
    match number("HOLDFAST_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("HOLDFAST_SEEDS").unwrap_or(count)).collect(),
    }
}

/// The log on disk and its twin, fed with the same.
pub struct Pair<'a, L> {
    pub log: &'a L,
    pub twin: &'a MemoryLog,
    /// Told after each write what the log now holds and whether that was synced.
    pub observe: &'a mut dyn FnMut(Recovered, bool),
}

impl<L: DurableLog> Pair<'_, L> {
    /// Does one random operation on both logs.
    pub fn step(&mut self, random: &mut Random, term: &mut u64) {
        let held = self.twin.recovered().expect("recovered");
        let (first, last) = (held.start.index + 1, held.last_index());
        match random.below(20) {
            0..10 => {
                let from = last + 1 - random.below(3).min(last + 1 - first);
                *term += u64::from(from <= last);
                let largest = if random.below(10) == 0 { 20_000 } else { 300 };
                let count = 1 + random.below(6);
                let sizes: Vec<usize> =
                    (0..count).map(|_| random.below(largest) as usize).collect();
                self.write(None, (*term, from - 1), &entries(from, *term, &sizes), true);
            }
            10..14 => self.write(None, (*term, last), &[], false),
            14 => {
                *term += 1;
                self.write(None, (*term, first - 1), &[], true);
            }
            15..19 => {
                // Committed first: what is compacted always is.
                self.write(None, (*term, last), &[], false);
                let index = first + random.below(last + 2 - first) - 1;
                self.compact(&compaction_at(&held, index));
            }
            _ => {
                *term += 1;
                let at = last + random.below(50);
                let sizes = vec![10; random.below(3) as usize];
                let place = start(at, *term);
                self.write(
                    Some(&place),
                    (*term, at),
                    &entries(at + 1, *term, &sizes),
                    true,
                );
            }
        }
    }

    fn write(
        &mut self,
        start: Option<&Compaction>,
        (term, commit): (u64, u64),
        entries: &[EntryRecord],
        sync: bool,
    ) {
        let state = hard_state(term, commit);
        self.log
            .write(start, Some(&state), entries, sync)
            .expect("write");
        self.twin
            .write(start, Some(&state), entries, sync)
            .expect("write");
        (self.observe)(self.twin.recovered().expect("recovered"), sync);
    }

    fn compact(&mut self, compaction: &Compaction) {
        let before = self.twin.recovered().expect("recovered");
        self.log.compact_to(compaction).expect("compact");
        self.twin.compact_to(compaction).expect("compact");
        let after = self.twin.recovered().expect("recovered");
        // One that drops nothing writes nothing.
        let synced = after.start != before.start;
        (self.observe)(after, synced);
    }
}

fn compaction_at(held: &Recovered, index: u64) -> Compaction {
    if index == held.start.index {
        return held.start.clone();
    }
    let entry = &held.entries[(index - held.start.index - 1) as usize];
    start(index, entry.position().term)
}
