use holdfast_wire::{BlockId, bitmap_get, group_of};

use crate::NodeError;

/// What this node owns in the newest cluster map that it was told of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Route {
    epoch: u64,
    group_count: u32,
    owned: Vec<u8>,
}

impl Route {
    /// A route from its bitmap: bit g is set when group g is owned.
    pub(crate) fn new(epoch: u64, group_count: u32, owned: &[u8]) -> Result<Self, NodeError> {
        check_bitmap(group_count, owned)?;
        Ok(Self {
            epoch,
            group_count,
            owned: owned.to_vec(),
        })
    }

    /// The map's epoch; 0 before the first one, when nothing is owned.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn owns(&self, id: &BlockId) -> bool {
        self.group_count != 0 && bitmap_get(&self.owned, group_of(id, self.group_count) as usize)
    }
}

/// Checks that a bitmap of groups has the length that their number asks for.
pub(crate) fn check_bitmap(group_count: u32, bitmap: &[u8]) -> Result<(), NodeError> {
    let expected = group_count.div_ceil(8) as usize;
    if bitmap.len() == expected {
        return Ok(());
    }
    Err(NodeError::Bitmap {
        group_count,
        expected,
        found: bitmap.len(),
    })
}
