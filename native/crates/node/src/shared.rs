use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use holdfast_engine::Engine;
use holdfast_wire::TicketVerifier;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::budget::Budget;
use crate::removals::Removals;
use crate::route::Route;
use crate::{Clock, NodeConfig};

/// Bounds of one tenant over all its connections.
#[derive(Debug)]
pub(crate) struct TenantBudgets {
    /// Payload granted and not yet delivered.
    pub(crate) grants: Arc<Budget>,
    /// Blocks held in place by queued answers.
    pub(crate) pins: Arc<Budget>,
}

/// The place of one greeted connection among those that the node takes.
pub(crate) struct Seat(Arc<AtomicU32>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all threads of a node look at.
pub(crate) struct Shared {
    pub(crate) config: NodeConfig,
    pub(crate) clock: Clock,
    pub(crate) engine: Arc<Engine>,
    /// Every connection, greeted or not.
    pub(crate) connections: AtomicU32,
    seats: Arc<AtomicU32>,
    verifier: RwLock<Arc<TicketVerifier>>,
    route: RwLock<Arc<Route>>,
    tenants: Mutex<HashMap<u32, Arc<TenantBudgets>>>,
    dropped_spaces: RwLock<HashSet<u32>>,
    /// What a pull must not bring back.
    pub(crate) removals: Removals,
    stopping: AtomicBool,
    stop_at_ms: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: NodeConfig, clock: Clock, engine: Engine) -> Self {
        let verifier = TicketVerifier::new(config.identity.cluster, &[]);
        Self {
            config,
            clock,
            engine: Arc::new(engine),
            connections: AtomicU32::new(0),
            seats: Arc::default(),
            verifier: RwLock::new(Arc::new(verifier)),
            route: RwLock::default(),
            tenants: Mutex::default(),
            dropped_spaces: RwLock::default(),
            removals: Removals::default(),
            stopping: AtomicBool::new(false),
            stop_at_ms: AtomicU64::new(u64::MAX),
        }
    }

    /// A place for one more greeted connection; `None` when all are taken.
    pub(crate) fn take_seat(&self) -> Option<Seat> {
        let before = self.seats.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&self.seats));
        (before < self.config.connections_max).then_some(seat)
    }

    /// Whether a connection that arrives now could not be greeted.
    pub(crate) fn is_full(&self) -> bool {
        self.seats.load(Ordering::Relaxed) >= self.config.connections_max
    }

    /// Words for whoever comes when every place is taken.
    pub(crate) fn full_text(&self) -> String {
        let limit = self.config.connections_max;
        format!("{limit} connections are open, no more are taken")
    }

    pub(crate) fn verifier(&self) -> Arc<TicketVerifier> {
        Arc::clone(&self.verifier.read())
    }

    pub(crate) fn set_verifier(&self, verifier: TicketVerifier) {
        *self.verifier.write() = Arc::new(verifier);
    }

    pub(crate) fn route(&self) -> Arc<Route> {
        Arc::clone(&self.route.read())
    }

    /// The route, and no newer one is installed for as long as the guard lives.
    ///
    /// What is stored by a route is stored before a newer one is there, so that the new owner of a
    /// group, who lists it after that, misses nothing.
    pub(crate) fn hold_route(&self) -> RwLockReadGuard<'_, Arc<Route>> {
        self.route.read()
    }

    /// Installs a route unless a newer one is there.
    pub(crate) fn set_route(&self, route: Route) {
        let mut present = self.route.write();
        if route.epoch() >= present.epoch() {
            *present = Arc::new(route);
        }
    }

    /// The bounds of a tenant, made when it is first met. Tenants that nobody uses are let go.
    pub(crate) fn tenant(&self, tenant: u32) -> Arc<TenantBudgets> {
        let mut tenants = self.tenants.lock();
        if !tenants.contains_key(&tenant) {
            tenants.retain(|_, budgets| Arc::strong_count(budgets) > 1);
        }
        let budgets = tenants.entry(tenant).or_insert_with(|| {
            Arc::new(TenantBudgets {
                grants: Budget::new(self.config.tenant_bytes_in_flight_max),
                pins: Budget::new(self.config.pin_bytes_max),
            })
        });
        Arc::clone(budgets)
    }

    /// Bytes granted and bytes held in place now, over all tenants.
    pub(crate) fn bytes_in_flight(&self) -> (u64, u64) {
        let tenants = self.tenants.lock();
        tenants.values().fold((0, 0), |(grants, pins), tenant| {
            (
                grants + tenant.grants.used_bytes(),
                pins + tenant.pins.used_bytes(),
            )
        })
    }

    /// Numbers of spaces are never used again, so a dropped one stays dropped although tickets
    /// for it may live on for a while.
    pub(crate) fn drop_space(&self, space: u32) {
        self.dropped_spaces.write().insert(space);
        self.engine.drop_space(space);
    }

    pub(crate) fn is_dropped(&self, space: u32) -> bool {
        let dropped = self.dropped_spaces.read();
        !dropped.is_empty() && dropped.contains(&space)
    }

    pub(crate) fn stop(&self, at_ms: u64) {
        self.stop_at_ms.fetch_min(at_ms, Ordering::SeqCst);
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn stop_at_ms(&self) -> u64 {
        self.stop_at_ms.load(Ordering::SeqCst)
    }
}
