use std::sync::Arc;

use holdfast_wire::{BlockId, group_of};

use crate::ClientError;

/// One data node as the cluster map names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    /// Its id.
    pub id: u64,
    /// Its incarnation: new whenever its memory started empty.
    pub incarnation: u64,
    /// `host:port`.
    pub tcp_address: String,
    /// Its Unix socket; empty when it has none.
    pub unix_path: String,
    /// Boot id of its host.
    pub boot_id: String,
    /// Whether it may be asked.
    pub up: bool,
}

/// Which nodes hold which groups.
#[derive(Debug, Clone)]
pub struct ClusterMap {
    /// Grows with every change.
    pub(crate) epoch: u64,
    pub(crate) group_count: u32,
    pub(crate) width: usize,
    owners: Vec<i32>,
    previous: Vec<i32>,
    pub(crate) nodes: Vec<NodeEntry>,
    has_previous: bool,
}

impl ClusterMap {
    /// A map of `group_count` groups with `width` owners each. `owners` and `previous` (who owned
    /// a group before and may still hold its blocks) are `group_count * width` indices into
    /// `nodes`, -1 for none. `epoch` grows with every change.
    ///
    /// # Errors
    /// [`ClientError::Map`] when a table has another size or names a node that is not listed.
    pub fn new(
        epoch: u64,
        group_count: u32,
        width: usize,
        owners: Vec<i32>,
        previous: Vec<i32>,
        nodes: Vec<NodeEntry>,
    ) -> Result<Self, ClientError> {
        let error = |what, found: i64, expected: i64| ClientError::Map {
            epoch,
            what,
            found,
            expected,
        };
        if group_count == 0 {
            return Err(error("number of groups", 0, 1));
        }
        let entries = group_count as usize * width;
        for (what, table) in [("owners", &owners), ("previous", &previous)] {
            if table.len() != entries {
                return Err(error(what, table.len() as i64, entries as i64));
            }
            let largest = nodes.len() as i64 - 1;
            if let Some(bad) = table
                .iter()
                .find(|index| i64::from(**index) > largest || **index < -1)
            {
                return Err(error("index of a node", i64::from(*bad), largest));
            }
        }
        let has_previous = previous.iter().any(|index| *index >= 0);
        Ok(Self {
            epoch,
            group_count,
            width,
            owners,
            previous,
            nodes,
            has_previous,
        })
    }

    /// The map of a client that was not given one: it names nobody.
    pub(crate) fn empty() -> Arc<Self> {
        Arc::new(Self {
            epoch: 0,
            group_count: 1,
            width: 0,
            owners: Vec::new(),
            previous: Vec::new(),
            nodes: Vec::new(),
            has_previous: false,
        })
    }

    /// Whether any group has a previous owner.
    pub(crate) fn has_previous(&self) -> bool {
        self.has_previous
    }

    /// Nodes to ask for a block, in order: those that hold a copy, then previous owners.
    /// `ordinal` counts up from 0; `None` when there are no more; `Some(None)` for a place that
    /// names nobody, or somebody named before.
    pub(crate) fn candidate(
        &self,
        id: &BlockId,
        copies: usize,
        ordinal: usize,
    ) -> Option<Option<u64>> {
        let start = group_of(id, self.group_count) as usize * self.width;
        let copies = copies.min(self.width);
        let owners = &self.owners[start..start + copies];
        if ordinal < copies {
            return Some(self.node(owners[ordinal], &owners[..ordinal]));
        }
        let previous = &self.previous[start..start + self.width];
        let index = *previous.get(ordinal - copies)?;
        if owners.contains(&index) {
            return Some(None);
        }
        Some(self.node(index, &previous[..ordinal - copies]))
    }

    /// Whether a node shall hold one of the copies of a block.
    pub(crate) fn is_owner(&self, id: &BlockId, copies: usize, node: u64) -> bool {
        (0..copies.min(self.width))
            .any(|ordinal| self.candidate(id, copies, ordinal) == Some(Some(node)))
    }

    fn node(&self, index: i32, before: &[i32]) -> Option<u64> {
        if index < 0 || before.contains(&index) {
            return None;
        }
        Some(self.nodes[index as usize].id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(owners: Vec<i32>, previous: Vec<i32>) -> Result<ClusterMap, ClientError> {
        let node = |id| NodeEntry {
            id,
            incarnation: 1,
            tcp_address: String::new(),
            unix_path: String::new(),
            boot_id: String::new(),
            up: true,
        };
        let nodes = vec![node(10), node(11), node(12), node(13)];
        ClusterMap::new(1, 1, 3, owners, previous, nodes)
    }

    #[test]
    fn candidates_are_copies_then_previous_owners() {
        let map = map(vec![0, 1, 2], vec![3, 0, -1]).expect("fits");
        let all = |copies| {
            (0..)
                .map_while(|ordinal| map.candidate(&[0; 16], copies, ordinal))
                .flatten()
                .collect::<Vec<_>>()
        };
        assert_eq!(all(1), [10, 13]);
        assert_eq!(all(2), [10, 11, 13]);
        assert_eq!(all(9), [10, 11, 12, 13]);
    }

    #[test]
    fn tables_that_do_not_fit_are_refused() {
        let fine = vec![0, 1, 2];
        assert!(map(fine.clone(), vec![-1; 3]).is_ok());
        assert!(map(fine.clone(), vec![-1; 2]).is_err());
        assert!(map(fine.clone(), vec![4, -1, -1]).is_err());
        assert!(map(vec![-2, 0, 0], fine).is_err());
        assert!(ClusterMap::new(1, 0, 3, vec![], vec![], vec![]).is_err());
    }
}
