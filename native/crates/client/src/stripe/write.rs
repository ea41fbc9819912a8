//! Puts and pins of striped blocks: every owner is asked, and what their answers make of a key.

use std::sync::Arc;

use holdfast_wire::KeyStatus;

use super::{ChunkGroups, Stripes};
use crate::operation::{OperationKind, Running};
use crate::request::{Request, RequestKind};
use crate::state::State;

impl State {
    /// Asks all owners of keys, of a put with their chunks.
    pub(crate) fn dispatch_to_owners(&mut self, running: &mut Running, keys: &[u32]) {
        let mut groups = ChunkGroups::default();
        for key in keys {
            let owners = self.usable_owners(running, *key);
            let needed = running.chunks_needed(*key);
            let Some(stripes) = &mut running.stripes else {
                return;
            };
            let state = &mut stripes.keys[*key as usize];
            // Where too few can be asked nothing is sent that would only be removed again.
            if state.held() + owners.len() >= needed {
                for (slot, node) in owners {
                    state.ask(slot, slot);
                    groups.push(node, slot, *key);
                }
            }
            self.settle_key(running, *key);
        }
        self.send_chunks(running, groups);
    }

    /// Owners whose chunk is not there and that may be asked: slot and node of each.
    fn usable_owners(&mut self, running: &mut Running, key: u32) -> Vec<(usize, u64)> {
        let map = Arc::clone(&running.map);
        let id = running.ids[key as usize];
        let Some(stripes) = &running.stripes else {
            return Vec::new();
        };
        let owners = stripes.scheme.shards().min(map.width);
        let mut usable = Vec::with_capacity(owners);
        for slot in (0..owners).filter(|slot| stripes.keys[key as usize].is_free(*slot)) {
            let Some(node) = map.candidate(&id, owners, slot).flatten() else {
                continue;
            };
            if self.usable(node) {
                usable.push((slot, node));
            } else {
                let state = &mut running.keys[key as usize];
                state.seen.add(KeyStatus::Unreachable);
                state.cut |= self.peers.get(&node).is_some_and(|peer| peer.entry.up);
            }
        }
        usable
    }

    /// The answer of one owner.
    pub(crate) fn record_at_owner(
        &mut self,
        running: &mut Running,
        (node, request): (u64, &Request),
        (slot, key): (usize, u32),
        status: KeyStatus,
    ) {
        if status == KeyStatus::NotOwner {
            running.note_not_owner(node, key, request);
        }
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        let state = &mut stripes.keys[key as usize];
        let held = matches!(
            status,
            KeyStatus::Stored | KeyStatus::Present | KeyStatus::Hit
        );
        state.answered(slot, held);
        if status == KeyStatus::Stored {
            state.note_stored(slot);
        }
        if !held {
            running.keys[key as usize].seen.add(status);
        }
        // Busy: somebody else stores the same block, most likely, and its chunk will do as well.
        // Were both to give way, none would be stored.
        let may_change = matches!(status, KeyStatus::Busy | KeyStatus::Unreachable);
        running.keys[key as usize].cut |= may_change;
        self.settle_key(running, key);
    }

    /// Decides a key once all its answers are there, or puts it off.
    fn settle_key(&mut self, running: &mut Running, key: u32) {
        let Some(stripes) = &running.stripes else {
            return;
        };
        let state = stripes.keys[key as usize];
        if running.keys[key as usize].decided || state.is_open() {
            return;
        }
        let merged = running.merged(key);
        if running.puts_off(key, merged) {
            running.put_off.push(key);
            return;
        }
        running.decide(key, merged);
        if running.leaves_rest(key, merged) {
            self.remove_chunks(running, key);
        }
    }

    /// It is ended from outside: keys of which enough chunks are there count.
    pub(super) fn end_at_owners(&mut self, running: &mut Running) {
        for key in 0..running.keys.len() as u32 {
            if running.keys[key as usize].decided {
                continue;
            }
            if let Some(status) = running.stored_status(key) {
                running.decide(key, status);
            }
        }
    }

    /// Ends a put early: enough chunks of every key are stored, and the nodes that the others went
    /// to take long.
    pub(super) fn end_put_early(&mut self, running: &mut Running) {
        let undecided = |running: &Running| {
            let keys = 0..running.keys.len() as u32;
            keys.filter(|key| !running.keys[*key as usize].decided)
                .collect::<Vec<_>>()
        };
        let keys = undecided(running);
        if !keys.iter().all(|key| running.stored_status(*key).is_some()) {
            return;
        }
        for key in keys {
            if let Some(status) = running.stored_status(key) {
                running.keys[key as usize].seen.add(KeyStatus::TimedOut);
                running.decide(key, status);
            }
        }
        running.put_off.clear();
    }

    /// Takes back the chunks that a put has stored of a block which it could not store: they would
    /// only take room. Nobody waits for it; what it misses ages like every block.
    pub(super) fn remove_chunks(&mut self, running: &Running, key: u32) {
        let Some(stripes) = &running.stripes else {
            return;
        };
        let state = stripes.keys[key as usize];
        let slots: Vec<usize> = match running.kind {
            OperationKind::Put => state.stored_slots().collect(),
            _ => state.held_slots().collect(),
        };
        let owners = stripes.scheme.shards().min(running.map.width);
        let id = running.ids[key as usize];
        for slot in slots {
            let Some(node) = running.map.candidate(&id, owners, slot).flatten() else {
                continue;
            };
            let mut removal = Request::own(RequestKind::Delete, running.space, running.deadline);
            removal.ids = vec![id];
            self.submit_own(node, removal);
        }
    }

    /// Hands a request of the client's own to a lane of a node, if it has one.
    pub(crate) fn submit_own(&mut self, node: u64, request: Request) {
        let Some(peer) = self.peers.get(&node) else {
            return;
        };
        let Some(number) = peer.lanes.iter().flatten().next().copied() else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.submit(request);
            self.dirty.push(number);
        }
    }
}

impl Running {
    /// Of a put or a pin of striped blocks: stored, present or pinned, when as many chunks are
    /// there as make it count.
    pub(crate) fn stored_status(&self, key: u32) -> Option<KeyStatus> {
        let stripes = self.stripes.as_ref().filter(|_| self.kind.asks_all())?;
        let state = stripes.keys[key as usize];
        if state.held() < self.chunks_needed(key) {
            return None;
        }
        Some(match self.kind {
            OperationKind::Put if state.stored_slots().next().is_some() => KeyStatus::Stored,
            OperationKind::Put => KeyStatus::Present,
            _ => KeyStatus::Hit,
        })
    }

    /// Chunks of a key that make a put or a pin count.
    fn chunks_needed(&self, key: u32) -> usize {
        let Some(stripes) = &self.stripes else {
            return 0;
        };
        match self.kind {
            OperationKind::Put => stripes.chunks_to_store(self.owners_of(key)),
            _ => stripes.scheme.data(),
        }
    }

    /// Whether a key of a put was stored on fewer nodes than it should be.
    pub(crate) fn lacks_chunks(&self, key: usize) -> bool {
        let held = |stripes: &Stripes| stripes.keys[key].held() < stripes.scheme.shards();
        self.stripes.as_deref().is_some_and(held)
    }

    /// Whether a put has failed for good and left chunks that nobody can read. Where it is not
    /// known what became of it they stay: another put of the same bytes may count on them.
    fn leaves_rest(&self, key: u32, merged: KeyStatus) -> bool {
        let few = |stripes: &Stripes| stripes.keys[key as usize].held() < stripes.scheme.data();
        self.kind == OperationKind::Put
            && matches!(merged, KeyStatus::Busy | KeyStatus::Refused)
            && self.stripes.as_deref().is_some_and(few)
    }

    /// Owners that the map names for a key's chunks.
    fn owners_of(&self, key: u32) -> usize {
        let Some(stripes) = &self.stripes else {
            return 0;
        };
        let owners = stripes.scheme.shards().min(self.map.width);
        let id = self.ids[key as usize];
        (0..owners)
            .filter(|slot| self.map.candidate(&id, owners, *slot).flatten().is_some())
            .count()
    }
}

impl Stripes {
    /// Chunks that make a put count as stored where the map names so many owners: one more than
    /// are needed to read it, so that it survives the next failure.
    fn chunks_to_store(&self, owners: usize) -> usize {
        (self.scheme.data() + 1).min(owners.max(self.scheme.data()))
    }
}
