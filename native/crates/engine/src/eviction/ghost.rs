/// Ghost cells for each hundred slots.
const CELLS_PERCENT: u64 = 25;

/// What is remembered of evicted blocks: 12 bits of hash and the touches, two bytes a block.
///
/// Each hash has one cell; a later eviction overwrites it. So memory of an eviction fades within
/// about a quarter of a residence time, and one lookup in 4096 is fooled, which costs a little rank.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    cells: Box<[u16]>,
}

impl Ghost {
    /// Makes room for the evictions of a class of so many slots. A size that differs by more than
    /// an eighth forgets all; a smaller change changes nothing.
    pub(super) fn resize(&mut self, slots: u64) {
        let cells = (slots * CELLS_PERCENT / 100).max(1) as usize;
        if cells.abs_diff(self.cells.len()) * 8 > self.cells.len() {
            self.cells = vec![0; cells].into_boxed_slice();
        }
    }

    /// Whether there is no room yet.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn cell(&self, hash: u64) -> usize {
        (((hash >> 32) * self.cells.len() as u64) >> 32) as usize
    }

    /// Remembers an evicted block.
    pub(super) fn insert(&mut self, hash: u64, touches: u32) {
        let cell = self.cell(hash);
        self.cells[cell] = tag(hash) | touches as u16;
    }

    /// Forgets a block and tells its touches, if it is remembered.
    pub(super) fn take(&mut self, hash: u64) -> Option<u32> {
        if self.cells.is_empty() {
            return None;
        }
        let cell = self.cell(hash);
        let value = self.cells[cell];
        if value & 0xF == 0 || value & !0xF != tag(hash) {
            return None;
        }
        self.cells[cell] = 0;
        Some(u32::from(value & 0xF))
    }

    /// Memory held, bytes.
    pub(super) fn heap_bytes(&self) -> u64 {
        self.cells.len() as u64 * 2
    }
}

/// Twelve bits of the hash that the cell's number does not use, above four for the touches.
fn tag(hash: u64) -> u16 {
    (hash as u16) & !0xF
}
