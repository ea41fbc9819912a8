//! Reads of striped blocks: which chunks are asked for, and what their answers make of a key.

use std::sync::Arc;

use holdfast_wire::KeyStatus;

use super::{ChunkGroups, DecodeBatch, Standing, Stripes};
use crate::operation::Running;
use crate::state::State;

impl State {
    /// Asks for the chunks that keys lack; decides keys that cannot get enough.
    pub(crate) fn dispatch_chunks(&mut self, running: &mut Running, keys: &[u32]) {
        let mut groups = ChunkGroups::default();
        for key in keys {
            self.ask_for_chunks(running, *key, &mut groups);
        }
        self.send_chunks(running, groups);
        self.settle_stripes(running);
    }

    pub(super) fn send_chunks(&mut self, running: &mut Running, groups: ChunkGroups) {
        for group in groups.into_groups() {
            self.request_chunks(running, group.node, group.slot, &group.keys);
        }
    }

    fn ask_for_chunks(&mut self, running: &mut Running, key: u32, groups: &mut ChunkGroups) {
        loop {
            let Some(stripes) = &running.stripes else {
                return;
            };
            let Standing::Short(lacking) = stripes.standing(key) else {
                return;
            };
            let found = self.find_candidates(running, key, lacking);
            let is_open = running
                .stripes
                .as_ref()
                .is_some_and(|stripes| stripes.keys[key as usize].is_open());
            // Where all that is left cannot suffice nothing more is asked for.
            if found.len() == lacking || (is_open && !found.is_empty()) {
                self.open_chunks(running, key, &found, groups);
                return;
            }
            if is_open {
                return;
            }
            if running.merged(key) != KeyStatus::NotOwner || !self.adopt_map(running) {
                self.give_up_stripe(running, key);
                return;
            }
            if let Some(stripes) = &mut running.stripes {
                for state in &mut stripes.keys {
                    state.ask_anew();
                }
            }
        }
    }

    fn open_chunks(
        &mut self,
        running: &mut Running,
        key: u32,
        found: &[(u64, usize, usize)],
        groups: &mut ChunkGroups,
    ) {
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        for (node, ordinal, slot) in found {
            stripes.keys[key as usize].ask(*ordinal, *slot);
            groups.push(*node, *slot, key);
        }
    }

    /// Up to `most` usable nodes that were not asked yet: node, ordinal and slot of each. An owner
    /// is asked for its own slot; a previous owner for the slot of the place that it had, if
    /// nothing came of the present owner of that place.
    fn find_candidates(
        &mut self,
        running: &mut Running,
        key: u32,
        most: usize,
    ) -> Vec<(u64, usize, usize)> {
        let mut found: Vec<(u64, usize, usize)> = Vec::with_capacity(most);
        let map = Arc::clone(&running.map);
        let id = running.ids[key as usize];
        let Some(stripes) = &mut running.stripes else {
            return found;
        };
        let shards = stripes.scheme.shards();
        let owners = shards.min(map.width);
        let state = &mut stripes.keys[key as usize];
        for ordinal in 0..owners + shards {
            if found.len() == most {
                break;
            }
            let Some(candidate) = map.candidate(&id, owners, ordinal) else {
                break;
            };
            let slot = if ordinal < owners {
                ordinal
            } else {
                ordinal - owners
            };
            let taken = found.iter().any(|(_, _, other)| *other == slot);
            if state.is_asked(ordinal) || taken || !state.is_free(slot) {
                continue;
            }
            match candidate {
                Some(node) if self.usable(node) => found.push((node, ordinal, slot)),
                Some(_) => {
                    running.keys[key as usize].seen.add(KeyStatus::Unreachable);
                    state.pass_over(ordinal);
                }
                None => state.pass_over(ordinal),
            }
        }
        found
    }

    /// A key of which too few shards are to be had.
    fn give_up_stripe(&mut self, running: &mut Running, key: u32) {
        let Some(stripes) = &running.stripes else {
            return;
        };
        if stripes.keys[key as usize].held() >= stripes.scheme.data() {
            // Enough chunks, but of unlike versions, or some of one shard twice.
            let all_told = running.keys[key as usize].seen.only_misses();
            let is_mixed = stripes.versions(key).len() > 1;
            running.keys[key as usize].seen.add(KeyStatus::Miss);
            if is_mixed && all_told {
                // Two puts raced, and neither is whole, whoever else were asked.
                self.counters.stripes_mixed += 1;
                self.remove_chunks(running, key);
            }
        }
        let merged = running.merged(key);
        running.decide(key, merged);
    }

    /// The answer for one chunk of a read. True when the key needs further chunks.
    pub(crate) fn record_chunk(
        &mut self,
        running: &mut Running,
        (slot, key): (usize, u32),
        (status, sum): (KeyStatus, u32),
    ) -> bool {
        let Some(stripes) = &mut running.stripes else {
            return false;
        };
        let is_hit = status == KeyStatus::Hit;
        if is_hit {
            stripes.note_sum(slot, key, sum);
        }
        let is_chunk = is_hit && stripes.is_chunk(slot, key);
        stripes.keys[key as usize].answered(slot, is_chunk);
        if running.keys[key as usize].decided {
            return false;
        }
        if !is_chunk {
            let status = if is_hit { KeyStatus::Corrupt } else { status };
            running.keys[key as usize].seen.add(status);
        }
        match stripes.standing(key) {
            Standing::Whole => {
                let whole = stripes.is_block(key);
                let status = if whole {
                    KeyStatus::Hit
                } else {
                    KeyStatus::Corrupt
                };
                running.decide(key, status);
                false
            }
            Standing::Computable => {
                if !stripes.computable.contains(&key) {
                    stripes.computable.push(key);
                }
                false
            }
            Standing::Expecting => false,
            Standing::Short(_) => true,
        }
    }

    /// Once nothing is left to come but what can be computed, what is still under way is let go
    /// and the computing begins.
    pub(crate) fn settle_stripes(&mut self, running: &mut Running) {
        let token = running.shared.token;
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        stripes
            .computable
            .retain(|key| !running.keys[*key as usize].decided);
        // A chunk that is being copied out of shared memory is on no lane, and cannot be let go:
        // its end comes here again.
        if stripes.computable.is_empty()
            || !stripes.computing.is_empty()
            || stripes.computable.len() < running.undecided
            || running.copying > 0
        {
            return;
        }
        self.copy_batches -= running.copy_batches.len();
        running.copy_batches.clear();
        if stripes.is_open() {
            stripes.close();
            let lanes = running.lanes.clone();
            self.cut_loose(token, &lanes);
        }
        self.compute_stripes(running);
    }

    fn compute_stripes(&mut self, running: &mut Running) {
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        stripes.computing = std::mem::take(&mut stripes.computable);
        stripes.computing.sort_unstable();
        let Some(segments) = &running.segments else {
            return;
        };
        let Some(batch) = DecodeBatch::new(running.shared.token, stripes, segments) else {
            return;
        };
        running.decode = Some(batch);
        self.decodes += 1;
        running.shared.changed.notify_all();
    }

    /// An operation ends from outside: what can be computed in time is, what is stored counts.
    pub(crate) fn end_stripes(&mut self, running: &mut Running, status: KeyStatus) {
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        stripes.close();
        if running.kind.asks_all() {
            return self.end_at_owners(running);
        }
        let timed_out = status == KeyStatus::TimedOut;
        if timed_out && running.copying == 0 && stripes.computing.is_empty() {
            stripes
                .computable
                .retain(|key| !running.keys[*key as usize].decided);
            if !stripes.computable.is_empty() {
                self.compute_stripes(running);
            }
        } else if !timed_out && running.decode.take().is_some() {
            self.decodes -= 1;
            stripes.computing.clear();
        }
    }

    /// An operation is over: nodes that still owe it chunks owe it nothing any more.
    pub(crate) fn let_chunks_go(&mut self, token: u64) {
        let Some(running) = self.operations.get_mut(&token) else {
            return;
        };
        let Some(stripes) = running.stripes.as_mut().filter(|it| it.is_open()) else {
            return;
        };
        stripes.close();
        let lanes = running.lanes.clone();
        self.cut_loose(token, &lanes);
    }

    /// Stripes to compute for an operation. Whoever takes them must give them back through
    /// [`State::decoded`].
    pub(crate) fn take_decode(&mut self, token: u64) -> Option<DecodeBatch> {
        if self.decodes == 0 {
            return None;
        }
        let running = self.operations.get_mut(&token)?;
        let batch = running.decode.take()?;
        running.copying += 1;
        self.decodes -= 1;
        Some(batch)
    }

    /// Likewise, for any operation that nobody is waiting for.
    pub(crate) fn take_background_decode(&mut self) -> Option<DecodeBatch> {
        if self.decodes == 0 {
            return None;
        }
        let waits = |token: u64| self.waiting.iter().any(|waiting| waiting.token == token);
        let token = self
            .operations
            .iter()
            .find(|(token, running)| running.decode.is_some() && !waits(**token))
            .map(|(token, _)| *token)?;
        self.take_decode(token)
    }

    /// Stripes were computed.
    pub(crate) fn decoded(&mut self, batch: DecodeBatch) {
        let Some(mut running) = self.operations.remove(&batch.token) else {
            return;
        };
        let token = batch.token;
        running.copying -= 1;
        if let Some(stripes) = &mut running.stripes {
            stripes.computing.clear();
        }
        self.counters.stripes_computed += batch.results.len() as u64;
        for (key, is_block) in batch.results {
            let status = if is_block {
                KeyStatus::Hit
            } else {
                KeyStatus::Corrupt
            };
            running.decide(key, status);
        }
        running.shared.changed.notify_all();
        let ending = running.ending;
        self.operations.insert(token, running);
        match ending {
            Some(status) => self.settle_ended(token, status),
            None => self.finish_if_done(token),
        }
        self.settle();
    }
}

impl Running {
    /// Whether a key's missing shards are being computed.
    pub(crate) fn is_computing(&self, key: u32) -> bool {
        let computing = |stripes: &Stripes| stripes.computing.binary_search(&key).is_ok();
        self.stripes.as_deref().is_some_and(computing)
    }
}

impl Stripes {
    /// Whether the data shards in their slots are together the block that was written.
    fn is_block(&self, key: u32) -> bool {
        if self.memory.is_none() {
            return true;
        }
        let mut sums = Vec::with_capacity(self.scheme.data());
        let mut block_sum = None;
        for slot in 0..self.scheme.data() {
            let Some(tail) = self.tail(slot, key) else {
                return false;
            };
            sums.push(self.shard_sum(slot, key, &tail));
            block_sum = Some(tail.version.block_sum);
        }
        block_sum == Some(self.scheme.block_sum(self.block_bytes, &sums))
    }
}
