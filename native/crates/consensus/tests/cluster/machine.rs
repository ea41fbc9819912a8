//! A state machine that is its own history's digest.

use holdfast_consensus::{CommittedEntry, EntryKind};

/// Equal machines applied equal commands in equal order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Machine {
    pub applied: u64,
    pub commands: u64,
    pub digest: u64,
}

impl Machine {
    pub fn at(applied: u64) -> Self {
        Self {
            applied,
            ..Self::default()
        }
    }

    pub fn apply(&mut self, entry: &CommittedEntry) {
        assert_eq!(
            entry.position.index,
            self.applied + 1,
            "applied out of order"
        );
        self.applied = entry.position.index;
        if entry.kind == EntryKind::Normal && !entry.data.is_empty() {
            self.commands += 1;
            self.digest = fold(self.digest, &entry.data);
        }
    }
}

/// FNV-1a, continued.
pub fn fold(digest: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .chain(&[0xff])
        .fold(digest ^ 0xcbf2_9ce4_8422_2325, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
