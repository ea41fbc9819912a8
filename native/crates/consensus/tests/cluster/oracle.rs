//! What must hold at every moment, whatever happened.

use std::collections::BTreeMap;

use holdfast_consensus::{CommittedEntry, DurableLog, EntryKind, Recovered};

use crate::member::Member;

type Applied = (u64, bool, Vec<u8>);

/// Sees every election, commit and read of a run.
#[derive(Default)]
pub struct Oracle {
    leaders: BTreeMap<u64, u64>,
    committed: BTreeMap<u64, Applied>,
    reads: BTreeMap<Vec<u8>, u64>,
    pub reads_served: u64,
}

impl Oracle {
    /// Highest index that anybody applied.
    pub fn commit(&self) -> u64 {
        self.committed
            .last_key_value()
            .map_or(1, |(index, _)| *index)
    }

    pub fn terms_led(&self) -> usize {
        self.leaders.len()
    }

    /// Election safety and leader completeness.
    pub fn leader(&mut self, term: u64, member: &Member) {
        let first = *self.leaders.entry(term).or_insert(member.id);
        assert_eq!(first, member.id, "two leaders in term {term}");
        let log = member.log.recovered().expect("recovered");
        for (index, (committed_term, _, _)) in self.committed.range(log.start.index + 1..) {
            assert_eq!(
                term_at(&log, *index),
                Some(*committed_term),
                "leader {} of term {term} lacks committed entry {index}",
                member.id
            );
        }
    }

    /// State machine safety: everybody applies the same entry at the same index, for ever.
    pub fn applied(&mut self, member_id: u64, entry: &CommittedEntry) {
        let seen = (
            entry.position.term,
            entry.kind == EntryKind::Configuration,
            entry.data.clone(),
        );
        let index = entry.position.index;
        let first = self.committed.entry(index).or_insert_with(|| seen.clone());
        assert_eq!(
            *first, seen,
            "member {member_id} applied something else at {index}"
        );
    }

    pub fn is_committed(&self, index: u64, term: u64) -> bool {
        self.committed
            .get(&index)
            .is_some_and(|entry| entry.0 == term)
    }

    /// A read began: it must see everything committed until now.
    pub fn read_asked(&mut self, context: Vec<u8>) {
        let commit = self.commit();
        let twice = self.reads.insert(context, commit);
        assert_eq!(twice, None, "read contexts are unique");
    }

    pub fn read_answered(&mut self, context: &[u8], index: u64) {
        let least = self
            .reads
            .remove(context)
            .expect("a read that was asked once");
        assert!(
            index >= least,
            "read at {index}, committed before was {least}"
        );
        self.reads_served += 1;
    }

    /// Log matching: entries of equal index and term are equal, and so is all before them.
    pub fn logs_match(&self, members: &[Member]) {
        let logs: Vec<Recovered> = members
            .iter()
            .map(|member| member.log.recovered().expect("recovered"))
            .collect();
        for (position, one) in logs.iter().enumerate() {
            for other in &logs[position + 1..] {
                pair_matches(one, other);
            }
        }
    }
}

fn pair_matches(one: &Recovered, other: &Recovered) {
    let first = one.start.index.max(other.start.index) + 1;
    let last = one.last_index().min(other.last_index());
    let mut must_match = false;
    for index in (first..=last).rev() {
        let left = &one.entries[(index - one.start.index - 1) as usize];
        let right = &other.entries[(index - other.start.index - 1) as usize];
        must_match |= left.position() == right.position();
        assert!(
            !must_match || left == right,
            "logs differ at {index} below a match"
        );
    }
}

fn term_at(log: &Recovered, index: u64) -> Option<u64> {
    let offset = index.checked_sub(log.start.index + 1)? as usize;
    log.entries.get(offset).map(|entry| entry.position().term)
}
