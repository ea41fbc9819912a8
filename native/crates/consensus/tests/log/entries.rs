//! Entries, starts and hard states for tests.

use holdfast_consensus::{
    Compaction, Configuration, Core, CoreConfig, EntryRecord, HardStateRecord, Recovered,
};

/// Entries `from..` of one term, one per length of data, as a leader makes them.
pub fn entries(from: u64, term: u64, data_bytes: &[usize]) -> Vec<EntryRecord> {
    let template = template();
    data_bytes
        .iter()
        .zip(from..)
        .map(|(bytes, index)| {
            let data: Vec<u8> = (0..*bytes)
                .map(|at| (at as u64 * 31 + index + term) as u8)
                .collect();
            renumbered(&template, index, term, &data)
        })
        .collect()
}

/// A log's start with three voters.
pub fn start(index: u64, term: u64) -> Compaction {
    Compaction {
        index,
        term,
        configuration: Configuration::new(&[1, 2, 3], &[index + 10]),
    }
}

pub fn hard_state(term: u64, commit: u64) -> HardStateRecord {
    HardStateRecord::new(term, 2, commit)
}

/// Any entry, through the public interface only: protobuf fields are then replaced by hand.
fn template() -> EntryRecord {
    let mut core = Core::new(&CoreConfig::new(1), Recovered::bootstrap(&[1]), 1, 1).expect("core");
    core.campaign().expect("campaign");
    let effects = core.ready().expect("ready").expect("effects");
    effects
        .entries
        .last()
        .expect("a leader's first entry")
        .clone()
}

/// Protobuf: term is field 2, index field 3, data field 4.
fn renumbered(template: &EntryRecord, index: u64, term: u64, data: &[u8]) -> EntryRecord {
    assert!(template.position().index > 0);
    let mut bytes = Vec::new();
    for (tag, number) in [(0x10, term), (0x18, index), (0x22, data.len() as u64)] {
        if tag == 0x22 && data.is_empty() {
            continue;
        }
        bytes.push(tag);
        varint(&mut bytes, number);
    }
    bytes.extend_from_slice(data);
    EntryRecord::decode(&bytes).expect("an entry")
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
