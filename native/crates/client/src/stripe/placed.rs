/// Keys by the node to be asked and the slot that its chunks are for.
#[derive(Default)]
pub(crate) struct ChunkGroups {
    groups: Vec<ChunkGroup>,
    last: usize,
}

pub(crate) struct ChunkGroup {
    pub node: u64,
    pub slot: usize,
    pub keys: Vec<u32>,
}

impl ChunkGroups {
    pub(crate) fn push(&mut self, node: u64, slot: usize, key: u32) {
        let fits = |group: &ChunkGroup| group.node == node && group.slot == slot;
        let known = match self.groups.get(self.last) {
            Some(last) if fits(last) => Some(self.last),
            _ => self.groups.iter().position(fits),
        };
        self.last = known.unwrap_or_else(|| {
            self.groups.push(ChunkGroup {
                node,
                slot,
                keys: Vec::new(),
            });
            self.groups.len() - 1
        });
        self.groups[self.last].keys.push(key);
    }

    pub(crate) fn into_groups(self) -> Vec<ChunkGroup> {
        self.groups
    }
}
