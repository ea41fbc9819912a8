use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::Scheme;
use crate::kernel::Factors;
use crate::matrix::Matrix;

/// Plans that are kept; a cluster with a few nodes down needs a handful.
const PLANS_MAX: usize = 256;

/// Sets of shards, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShardSet(u64);

impl ShardSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(crate) fn contains(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The shards in order.
    pub(crate) fn each(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |index| self.contains(*index))
    }
}

/// How shards are made from others, worked out once for each set of them.
pub(crate) struct Plans {
    all: Matrix,
    known: RwLock<HashMap<(ShardSet, ShardSet), Arc<Factors>>>,
}

impl Plans {
    pub(crate) fn of(scheme: Scheme) -> Self {
        Self {
            all: Matrix::of_scheme(scheme),
            known: RwLock::default(),
        }
    }

    /// How shards `made` come from shards `from`, as many as the scheme has data shards.
    pub(crate) fn plan(&self, from: ShardSet, made: ShardSet) -> Arc<Factors> {
        if let Some(known) = self.known.read().get(&(from, made)) {
            return Arc::clone(known);
        }
        let plan = Arc::new(self.work_out(from, made));
        let mut known = self.known.write();
        if known.len() >= PLANS_MAX {
            // What is still in use is worked out again, in microseconds.
            known.clear();
        }
        known.insert((from, made), Arc::clone(&plan));
        plan
    }

    fn work_out(&self, from: ShardSet, made: ShardSet) -> Factors {
        let from: Vec<usize> = from.each().collect();
        let made: Vec<usize> = made.each().collect();
        let data = self.all.rows(&from).inverted();
        let data = data.expect("any k rows of the matrix are independent");
        Factors::of(&self.all.rows(&made).times(&data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_kept_and_bounded() {
        let plans = Plans::of(Scheme::new(8, 8).expect("a scheme"));
        let made = ShardSet(0b1);
        // Eight of the other fifteen shards: more sets than are kept.
        let sets = (0..1u64 << 15).filter(|set| set.count_ones() == 8);
        for set in sets.take(2 * PLANS_MAX) {
            let from = ShardSet(set << 1);
            let plan = plans.plan(from, made);
            assert!(Arc::ptr_eq(&plan, &plans.plan(from, made)));
            assert!(plans.known.read().len() <= PLANS_MAX);
        }
    }
}
