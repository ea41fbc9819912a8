//! One member's host: the loop that a daemon runs, with crashes at every point of it.

use std::collections::BTreeMap;

use holdfast_consensus::{
    CommittedEntry, Compaction, Core, CoreConfig, DurableLog, Effects, EntryKind, Envelope,
    MemoryLog, ReadPoint, Role, SnapshotWanted,
};

use crate::machine::Machine;
use crate::random::Random;

/// What one run of the loop did.
#[derive(Default)]
pub struct Turn {
    pub messages: Vec<Envelope>,
    pub committed: Vec<CommittedEntry>,
    pub reads: Vec<ReadPoint>,
    pub wanted: Vec<SnapshotWanted>,
    /// Terms in which it became leader.
    pub led: Vec<u64>,
    pub crashed: bool,
}

/// One member: its disk survives, its core does not.
pub struct Member {
    pub id: u64,
    pub log: MemoryLog,
    pub core: Option<Core>,
    pub machine: Machine,
    /// What a restart finds of the state machine.
    synced_machine: Machine,
    /// Kept with it: where the snapshot that it was last installed from stood.
    installed: Compaction,
    /// Snapshot copies on this member's disk, by index; lent to members that fetch.
    pub copies: BTreeMap<u64, Machine>,
    /// Copies fetched for a snapshot message that is about to be stepped.
    fetched: BTreeMap<u64, Machine>,
}

impl Member {
    pub fn founder(id: u64, voters: &[u64]) -> Self {
        let member = Self::newcomer(id);
        member.log.bootstrap(voters).expect("bootstrap");
        Self {
            machine: Machine::at(1),
            synced_machine: Machine::at(1),
            ..member
        }
    }

    pub fn newcomer(id: u64) -> Self {
        Self {
            id,
            log: MemoryLog::new(),
            core: None,
            machine: Machine::default(),
            synced_machine: Machine::default(),
            installed: Compaction::default(),
            copies: BTreeMap::new(),
            fetched: BTreeMap::new(),
        }
    }

    pub fn start(&mut self, seed: u64) {
        self.machine = self.synced_machine;
        let mut recovered = self.log.recovered().expect("recovered");
        if self.machine.applied > recovered.last_index() {
            assert_eq!(
                self.machine.applied, self.installed.index,
                "the log lost entries"
            );
            self.log.install_snapshot(&self.installed).expect("install");
            recovered = self.log.recovered().expect("recovered");
        }
        let config = CoreConfig {
            message_bytes_max: 4096,
            messages_inflight_max: 16,
            committed_bytes_per_ready_max: 8192,
            ..CoreConfig::new(self.id)
        };
        let core = Core::new(&config, recovered, self.machine.applied, seed);
        self.core = Some(core.expect("a member restarts from its own disk"));
    }

    /// Power loss: writes that were not synced are lost, but for the first few.
    pub fn crash(&mut self, random: &mut Random) {
        self.core = None;
        self.log.crash(random.below(3) as usize);
        self.fetched.clear();
    }

    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub fn leads(&self) -> bool {
        self.core
            .as_ref()
            .is_some_and(|core| core.role() == Role::Leader)
    }

    /// Runs the loop until nothing is left to do.
    pub fn turn(&mut self, random: &mut Random, crash_per_mille: u64) -> Turn {
        let mut turn = Turn::default();
        while let Some(effects) = self.ready() {
            if self
                .handle(effects, &mut turn, random, crash_per_mille)
                .is_none()
            {
                self.crash(random);
                turn.crashed = true;
                break;
            }
        }
        if !turn.crashed {
            for wanted in std::mem::take(&mut turn.wanted) {
                self.offer_snapshot(wanted.index);
            }
        }
        turn
    }

    fn ready(&mut self) -> Option<Effects> {
        self.core.as_mut()?.ready().expect("ready")
    }

    /// One round; `None` when the power failed in it.
    fn handle(
        &mut self,
        effects: Effects,
        turn: &mut Turn,
        random: &mut Random,
        crash_per_mille: u64,
    ) -> Option<()> {
        let mut survives = || (!random.per_mille(crash_per_mille)).then_some(());
        turn.messages.extend(effects.messages.iter().cloned());
        survives()?;
        if let Some(snapshot) = &effects.snapshot {
            let copy = self.fetched.remove(&snapshot.start.index);
            self.machine = copy.expect("a snapshot is stepped after its copy was fetched");
            self.synced_machine = self.machine;
            self.installed = snapshot.start.clone();
            survives()?;
        }
        if survives().is_none() {
            // The write reached the disk's cache, the sync never returned.
            let start = effects.snapshot.as_ref().map(|snapshot| &snapshot.start);
            self.log
                .write(start, effects.hard_state.as_ref(), &effects.entries, false)
                .expect("write");
            return None;
        }
        self.log.persist(&effects).expect("persist");
        survives()?;
        let core = self.core.as_mut()?;
        if effects
            .soft_state
            .is_some_and(|state| state.role == Role::Leader)
        {
            turn.led.push(core.term());
        }
        turn.messages.extend(effects.messages_after_persist);
        survives()?;
        core.advance(effects.number).expect("advance");
        for entry in effects.committed {
            if entry.kind == EntryKind::Configuration {
                core.apply_configuration_change(entry.position.index)
                    .expect("configuration change");
            }
            self.machine.apply(&entry);
            turn.committed.push(entry);
        }
        core.advance_apply(self.machine.applied)
            .expect("advance_apply");
        turn.reads.extend(effects.read_points);
        turn.wanted.extend(effects.snapshots_wanted);
        survives()
    }

    /// Syncs the state machine and offers a copy of it.
    pub fn offer_snapshot(&mut self, at_least: u64) {
        if self.machine.applied < at_least {
            return;
        }
        self.synced_machine = self.machine;
        self.copies.insert(self.machine.applied, self.machine);
        let core = self.core.as_mut().expect("up");
        core.provide_snapshot(self.machine.applied, self.id.to_le_bytes().to_vec())
            .expect("provide_snapshot");
    }

    /// Syncs the state machine and drops the log behind it, but for a few entries.
    pub fn compact(&mut self, kept: u64) {
        self.synced_machine = self.machine;
        let core = self.core.as_mut().expect("up");
        let compaction = core
            .compact(self.machine.applied.saturating_sub(kept))
            .expect("compact");
        self.log.compact_to(&compaction).expect("compact_to");
    }

    /// Steps a message; a snapshot's copy was fetched by the caller.
    pub fn step(&mut self, message: &[u8], copy: Option<(u64, Machine)>) {
        self.fetched.extend(copy);
        let core = self.core.as_mut().expect("up");
        core.step(message).expect("step");
    }
}
