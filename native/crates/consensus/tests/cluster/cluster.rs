//! Members, their network and the oracle that watches them.

use holdfast_consensus::{Change, ChangeKind, Configuration, Core, CoreError, Position};

use crate::machine::fold;
use crate::member::{Member, Turn};
use crate::network::{Arrival, Network, Weather};
use crate::oracle::Oracle;
use crate::random::Random;

/// A cluster in simulated time.
pub struct Cluster {
    pub now: u64,
    pub random: Random,
    pub members: Vec<Member>,
    pub network: Network,
    pub oracle: Oracle,
    /// Chance that the power fails at each point of a host's loop.
    pub crash_per_mille: u64,
    /// A digest of everything that happened.
    pub trace: u64,
    asked: u64,
}

impl Cluster {
    /// Founders `1..=founders` and empty members up to `members`; all are up.
    pub fn new(seed: u64, founders: u64, members: u64, weather: Weather) -> Self {
        let voters: Vec<u64> = (1..=founders).collect();
        let mut cluster = Self {
            now: 0,
            random: Random::new(seed),
            members: (1..=members)
                .map(|id| {
                    if id <= founders {
                        Member::founder(id, &voters)
                    } else {
                        Member::newcomer(id)
                    }
                })
                .collect(),
            network: Network::new(weather),
            oracle: Oracle::default(),
            crash_per_mille: 0,
            trace: 0,
            asked: 0,
        };
        for id in 1..=members {
            cluster.start(id);
        }
        cluster
    }

    pub fn calm(seed: u64, founders: u64, members: u64) -> Self {
        Self::new(seed, founders, members, Weather::CALM)
    }

    pub fn member(&mut self, id: u64) -> &mut Member {
        &mut self.members[id as usize - 1]
    }

    pub fn core(&mut self, id: u64) -> &mut Core {
        self.member(id).core.as_mut().expect("member is up")
    }

    pub fn ids(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.id).collect()
    }

    pub fn up(&self) -> Vec<u64> {
        let up = self.members.iter().filter(|member| member.is_up());
        up.map(|member| member.id).collect()
    }

    /// The leader of the highest term, if anybody leads.
    pub fn leader(&self) -> Option<u64> {
        let leads = self.members.iter().filter(|member| member.leads());
        leads
            .max_by_key(|member| member.core.as_ref().map(Core::term))
            .map(|member| member.id)
    }

    pub fn start(&mut self, id: u64) {
        let seed = self.random.next();
        self.note(&[1, id]);
        self.member(id).start(seed);
    }

    pub fn crash(&mut self, id: u64) {
        self.note(&[2, id]);
        let index = id as usize - 1;
        self.members[index].crash(&mut self.random);
    }

    /// One tick of everybody's clock, then everything that arrives.
    pub fn tick(&mut self) {
        self.now += 1;
        for id in self.up() {
            self.core(id).tick().expect("tick");
            self.run(id);
        }
        for arrival in self.network.arrivals(self.now) {
            self.deliver(arrival);
        }
    }

    /// Ticks until the condition holds.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = self.now + 2000;
        while !condition(self) {
            assert!(
                self.now < deadline,
                "{what} did not happen in 2000 ticks:\n{}",
                self.describe()
            );
            self.tick();
        }
    }

    fn describe(&self) -> String {
        let member = |member: &Member| {
            let status = member.core.as_ref().map(Core::status);
            format!("member {}: {:?} {status:#?}\n", member.id, member.machine)
        };
        self.members.iter().map(member).collect()
    }

    /// Waits for a leader that has committed in its term.
    pub fn elect(&mut self) -> u64 {
        let mut elected = 0;
        self.until("an election", |cluster| {
            let Some(id) = cluster.leader() else {
                return false;
            };
            elected = id;
            let status = cluster.core(id).status();
            let entry_of_term = cluster.oracle.is_committed(status.applied, status.term);
            status.applied == status.last_index && entry_of_term
        });
        elected
    }

    pub fn propose(&mut self, id: u64, data: &[u8]) -> Result<Position, CoreError> {
        let context = self.now.to_le_bytes().to_vec();
        let outcome = self.core(id).propose(context, data.to_vec());
        self.run(id);
        outcome
    }

    /// Proposes on whoever leads until it is committed.
    pub fn commit(&mut self, data: &[u8]) {
        let mut proposed = None;
        self.until("a commit", |cluster| {
            let Some(leader) = cluster.leader() else {
                return false;
            };
            let term = cluster.core(leader).term();
            let waits = match proposed {
                None => false,
                Some(Position { index, term }) if cluster.oracle.is_committed(index, term) => {
                    return true;
                }
                // Committed under another term, or a new leader's log ends before it.
                Some(position) => position.term == term,
            };
            if !waits {
                proposed = cluster.propose(leader, data).ok();
            }
            false
        });
    }

    /// Asks for a read on any member.
    pub fn read(&mut self, id: u64) -> Result<(), CoreError> {
        self.asked += 1;
        let context = self.asked.to_le_bytes().to_vec();
        let outcome = self.core(id).read_index(&context);
        if outcome.is_ok() {
            self.oracle.read_asked(context);
        }
        self.run(id);
        outcome
    }

    /// Proposes one change on whoever leads and waits until it is in force there.
    pub fn change(&mut self, kind: ChangeKind, member_id: u64) -> Configuration {
        let changes = [Change { kind, member_id }];
        self.until("a configuration change", |cluster| {
            let Some(leader) = cluster.leader() else {
                return false;
            };
            let core = cluster.core(leader);
            match core.propose_configuration_change(&changes, Vec::new(), false) {
                Ok(_) => {
                    cluster.run(leader);
                    true
                }
                Err(CoreError::ChangePending { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        });
        let mut configuration = Configuration::default();
        self.until("the change to apply", |cluster| {
            let Some(leader) = cluster.leader() else {
                return false;
            };
            configuration = cluster.core(leader).configuration();
            match kind {
                ChangeKind::AddVoter => configuration.voters.contains(&member_id),
                ChangeKind::AddLearner => configuration.learners.contains(&member_id),
                ChangeKind::Remove => !configuration.contains(member_id),
            }
        });
        configuration
    }

    /// Everybody up and connected: one more command commits, and all members of the last
    /// configuration hold the same.
    pub fn heal_and_serve(&mut self) {
        self.crash_per_mille = 0;
        self.network.heal();
        self.network.weather = Weather::CALM;
        for id in self.ids() {
            if !self.member(id).is_up() {
                self.start(id);
            }
        }
        self.commit(b"healed");
        self.until("everybody catching up", |cluster| {
            let Some(leader) = cluster.leader() else {
                return false;
            };
            let configuration = cluster.core(leader).configuration();
            let expected = cluster.member(leader).machine;
            let mut members = cluster.members.iter();
            let same = members
                .all(|member| !configuration.contains(member.id) || member.machine == expected);
            same && expected.applied == cluster.oracle.commit() && !configuration.is_joint()
        });
        self.oracle.logs_match(&self.members);
    }

    /// Runs one host's loop and hands on what it did.
    pub fn run(&mut self, id: u64) {
        let index = id as usize - 1;
        let turn = self.members[index].turn(&mut self.random, self.crash_per_mille);
        self.watch(id, &turn);
        for envelope in turn.messages {
            self.network.send(self.now, envelope, &mut self.random);
        }
    }

    fn watch(&mut self, id: u64, turn: &Turn) {
        for entry in &turn.committed {
            self.oracle.applied(id, entry);
            self.note(&[3, id, entry.position.index, entry.position.term]);
        }
        for term in &turn.led {
            let index = id as usize - 1;
            self.oracle.leader(*term, &self.members[index]);
            self.note(&[4, id, *term]);
        }
        for read in &turn.reads {
            self.oracle.read_answered(&read.context, read.index);
            self.note(&[5, id, read.index]);
        }
        for envelope in &turn.messages {
            self.trace = fold(self.trace, &envelope.encode());
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message(envelope) => {
                let (from, to) = (envelope.sender(), envelope.to());
                let reachable = self.network.connected(from, to) && self.member(to).is_up();
                let copy = envelope.snapshot().map(|(index, descriptor)| {
                    assert_eq!(descriptor, from.to_le_bytes());
                    (index, self.member(from).copies[&index])
                });
                if !reachable || (copy.is_some() && !self.member(from).is_up()) {
                    self.network.lose(self.now, &envelope);
                    return;
                }
                self.member(to).step(&envelope.encode(), copy);
                self.run(to);
                if copy.is_some() && self.member(from).is_up() {
                    self.core(from).report_snapshot(to, true).expect("report");
                    self.run(from);
                }
            }
            Arrival::SnapshotLost { sender, to } => {
                if self.member(sender).is_up() {
                    self.core(sender)
                        .report_snapshot(to, false)
                        .expect("report");
                    self.run(sender);
                }
            }
        }
    }

    fn note(&mut self, what: &[u64]) {
        for number in what {
            self.trace = fold(self.trace, &number.to_le_bytes());
        }
    }
}
