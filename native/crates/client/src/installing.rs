//! What a new cluster map changes.

use std::sync::Arc;

use crate::lane::LaneFailure;
use crate::map::ClusterMap;
use crate::peer::Peer;
use crate::state::State;

impl State {
    /// Takes a map over unless it is older than the one in use.
    pub(crate) fn offer_map(&mut self, map: Arc<ClusterMap>) {
        let present = self.map.as_ref().map(|map| map.epoch);
        match present {
            Some(epoch) if epoch > map.epoch => {}
            Some(epoch) if epoch == map.epoch => {
                self.stale = self.lanes.values().any(|lane| lane.epoch_seen > epoch);
            }
            _ => self.install(map),
        }
    }

    fn install(&mut self, map: Arc<ClusterMap>) {
        let mut gone: Vec<u64> = self.peers.keys().copied().collect();
        for entry in &map.nodes {
            gone.retain(|node| *node != entry.id);
            match self.peers.get_mut(&entry.id) {
                Some(peer) => {
                    if peer.update(entry.clone()) {
                        let lanes = peer.lanes.iter().flatten();
                        self.broken
                            .extend(lanes.map(|lane| (*lane, LaneFailure::Replaced)));
                    }
                }
                None => {
                    let peer = Peer::new(entry.clone(), self.config.lanes);
                    self.peers.insert(entry.id, peer);
                }
            }
        }
        self.map = Some(map);
        self.stale = false;
        for node in gone {
            if let Some(peer) = self.peers.remove(&node) {
                let lanes = peer.lanes.iter().flatten();
                self.broken
                    .extend(lanes.map(|lane| (*lane, LaneFailure::Replaced)));
            }
        }
        self.ask_again_by_map();
        self.settle();
    }
}
