use holdfast_wire::{BlockId, bitmap_get, group_of};

use crate::NodeError;

/// What this node owns in the newest cluster map that it was told of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Route {
    epoch: u64,
    group_count: u32,
    /// Bitmaps of groups, one for each place in which this node may own them, the first one first.
    owned: Vec<u8>,
}

impl Route {
    /// A route from its bitmaps, one behind the other: bit g of the one for a place is set when
    /// group g is owned in that place.
    pub(crate) fn new(epoch: u64, group_count: u32, owned: &[u8]) -> Result<Self, NodeError> {
        let bytes = bitmap_bytes(group_count);
        if bytes == 0 || owned.is_empty() || !owned.len().is_multiple_of(bytes) {
            check_bitmap(group_count, owned)?;
        }
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

    /// Whether this node shall hold one of so many copies of a block. In a later place of the
    /// block's group it holds none: nobody asks it, and nobody tells it what to delete.
    pub(crate) fn owns(&self, id: &BlockId, copies: u8) -> bool {
        if self.group_count == 0 {
            return false;
        }
        let group = group_of(id, self.group_count) as usize;
        let mut places = self
            .owned
            .chunks_exact(bitmap_bytes(self.group_count))
            .take(usize::from(copies));
        places.any(|owned| bitmap_get(owned, group))
    }
}

fn bitmap_bytes(group_count: u32) -> usize {
    group_count.div_ceil(8) as usize
}

/// Checks that a bitmap of groups has the length that their number asks for.
pub(crate) fn check_bitmap(group_count: u32, bitmap: &[u8]) -> Result<(), NodeError> {
    let expected = bitmap_bytes(group_count);
    if bitmap.len() == expected {
        return Ok(());
    }
    Err(NodeError::Bitmap {
        group_count,
        expected,
        found: bitmap.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_place_owns_only_what_has_as_many_copies() {
        // Ten groups, so that each bitmap has two bytes; all in the second place.
        let route = Route::new(3, 10, &[0, 0, 0xff, 0x03, 0, 0]).expect("bitmaps");
        let owned: Vec<_> = (0..4).map(|copies| route.owns(&[7; 16], copies)).collect();
        assert_eq!(owned, [false, false, true, true]);
        assert!(!Route::default().owns(&[7; 16], u8::MAX));
    }

    #[test]
    fn bitmaps_of_another_length_are_refused() {
        for bytes in [0, 1, 3, 5] {
            assert!(Route::new(1, 10, &vec![0; bytes]).is_err(), "{bytes} bytes");
        }
    }
}
