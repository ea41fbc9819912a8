//! Messages on their way: late, lost, doubled and out of order, but never changed.

use std::collections::BTreeMap;

use holdfast_consensus::Envelope;

use crate::random::Random;

/// How bad the network is.
#[derive(Clone, Copy)]
pub struct Weather {
    pub drop_per_mille: u64,
    pub double_per_mille: u64,
    pub delay_ticks_max: u64,
}

impl Weather {
    pub const CALM: Self = Self {
        drop_per_mille: 0,
        double_per_mille: 0,
        delay_ticks_max: 1,
    };
}

/// Something that arrives.
pub enum Arrival {
    Message(Envelope),
    /// The sender's host learns that its snapshot for a member was lost.
    SnapshotLost {
        sender: u64,
        to: u64,
    },
}

/// All links.
pub struct Network {
    pub weather: Weather,
    in_flight: BTreeMap<(u64, u64), Arrival>,
    sent: u64,
    /// Members that reach each other have the same group; no entry is group 0.
    groups: BTreeMap<u64, u64>,
}

impl Network {
    pub fn new(weather: Weather) -> Self {
        Self {
            weather,
            in_flight: BTreeMap::new(),
            sent: 0,
            groups: BTreeMap::new(),
        }
    }

    pub fn send(&mut self, now: u64, envelope: Envelope, random: &mut Random) {
        if random.per_mille(self.weather.drop_per_mille) {
            self.lose(now, &envelope);
            return;
        }
        if random.per_mille(self.weather.double_per_mille) {
            let at = now + 1 + random.below(4 * self.weather.delay_ticks_max);
            self.schedule(at, Arrival::Message(envelope.clone()));
        }
        let at = now + 1 + random.below(self.weather.delay_ticks_max);
        self.schedule(at, Arrival::Message(envelope));
    }

    /// A host notices a lost snapshot by itself; nobody notices any other lost message.
    pub fn lose(&mut self, now: u64, envelope: &Envelope) {
        if envelope.snapshot().is_some() {
            let lost = Arrival::SnapshotLost {
                sender: envelope.sender(),
                to: envelope.to(),
            };
            self.schedule(now + 3, lost);
        }
    }

    /// What arrives up to now, in order.
    pub fn arrivals(&mut self, now: u64) -> Vec<Arrival> {
        let later = self.in_flight.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.in_flight, later)
            .into_values()
            .collect()
    }

    pub fn connected(&self, one: u64, other: u64) -> bool {
        let group = |id| self.groups.get(&id).copied().unwrap_or_default();
        group(one) == group(other)
    }

    pub fn partition(&mut self, ids: &[u64], random: &mut Random) {
        self.groups = ids.iter().map(|id| (*id, random.below(2))).collect();
    }

    pub fn isolate(&mut self, id: u64) {
        self.groups = BTreeMap::from([(id, 1)]);
    }

    pub fn heal(&mut self) {
        self.groups.clear();
    }

    fn schedule(&mut self, at: u64, arrival: Arrival) {
        self.sent += 1;
        self.in_flight.insert((at, self.sent), arrival);
    }
}
