use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound on bytes that several holders share.
#[derive(Debug)]
pub(crate) struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        })
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Takes as many of `count` units as there is room for; returns how many.
    fn take(&self, unit_bytes: u64, count: u64) -> u64 {
        let mut used = self.used_bytes.load(Ordering::Relaxed);
        loop {
            let room = self.limit_bytes.saturating_sub(used) / unit_bytes.max(1);
            let taken = count.min(room);
            let next = used + taken * unit_bytes;
            match self.used_bytes.compare_exchange_weak(
                used,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return taken,
                Err(now) => used = now,
            }
        }
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes taken from a connection's budget and its tenant's, given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    connection: Arc<Budget>,
    tenant: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    pub(crate) fn none(connection: &Arc<Budget>, tenant: &Arc<Budget>) -> Self {
        Self {
            connection: Arc::clone(connection),
            tenant: Arc::clone(tenant),
            bytes: 0,
        }
    }

    /// Takes as many of `count` units as both budgets have room for; returns how many.
    pub(crate) fn take(&mut self, unit_bytes: u64, count: usize) -> usize {
        let first = self.connection.take(unit_bytes, count as u64);
        let second = self.tenant.take(unit_bytes, first);
        self.connection.give_back((first - second) * unit_bytes);
        self.bytes += second * unit_bytes;
        second as usize
    }

    /// Gives `bytes` of what was taken back at once.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.bytes, "gives back more than it took");
        self.connection.give_back(bytes);
        self.tenant.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_bounded_by_both_budgets_and_returns_on_drop() {
        let (connection, tenant) = (Budget::new(100), Budget::new(45));
        let mut first = Charge::none(&connection, &tenant);
        assert_eq!(first.take(10, 3), 3);
        let mut second = Charge::none(&connection, &tenant);
        assert_eq!(second.take(10, 3), 1);
        assert_eq!((connection.used_bytes(), tenant.used_bytes()), (40, 40));
        first.give_back(20);
        drop(second);
        assert_eq!((connection.used_bytes(), tenant.used_bytes()), (10, 10));
        drop(first);
        assert_eq!((connection.used_bytes(), tenant.used_bytes()), (0, 0));
    }
}
