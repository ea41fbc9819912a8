use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use holdfast_engine::Engine;
use holdfast_transport::Listener;
use holdfast_wire::{BlockId, TicketVerifier, bitmap_get};
use mio::Poll;
use parking_lot::Mutex;

use crate::reactor::{Inbox, Reactor};
use crate::route::{Route, check_bitmap};
use crate::shared::Shared;
use crate::{Clock, NodeConfig, NodeError, NodeStats};

/// Slots that one call of background work looks at.
const BACKGROUND_SLOTS: usize = 16_384;

/// A data node: chunk engine and block-protocol server in threads of its own.
///
/// Nothing is served before [`Node::start`], and nothing is owned before the first
/// [`Node::set_route`]: until then puts and deletes are answered `NotOwner`.
pub struct Node {
    pub(crate) shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
    retain_cursor: Mutex<u64>,
}

struct Running {
    tcp_address: SocketAddr,
    unix_path: Option<PathBuf>,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Makes the engine; nothing listens yet.
    ///
    /// # Errors
    /// A setting is out of range, or the engine cannot be made.
    pub fn new(config: NodeConfig, clock: Clock) -> Result<Self, NodeError> {
        let config = config.validate()?;
        let engine = Engine::new(config.engine.clone())?;
        Ok(Self {
            shared: Arc::new(Shared::new(config, clock, engine)),
            running: Mutex::new(None),
            retain_cursor: Mutex::new(0),
        })
    }

    /// Listens at `tcp_address` (`host:port`, port 0 takes any) and at a Unix socket, and serves.
    ///
    /// # Errors
    /// An address cannot be listened at, a thread cannot be made, or it was started before.
    pub fn start(&self, tcp_address: &str, unix_path: Option<&Path>) -> Result<(), NodeError> {
        let mut running = self.running.lock();
        if running.is_some() || self.shared.is_stopping() {
            return Err(NodeError::Started);
        }
        *running = Some(self.run(tcp_address, unix_path)?);
        Ok(())
    }

    fn run(&self, tcp_address: &str, unix_path: Option<&Path>) -> Result<Running, NodeError> {
        let tcp = listen_tcp(tcp_address)?;
        let bound = tcp.tcp_address().ok_or_else(|| NodeError::Address {
            address: tcp_address.to_owned(),
        })?;
        let mut listeners = vec![tcp];
        if let Some(path) = unix_path {
            let unix = Listener::bind_unix(path).map_err(|source| NodeError::ListenUnix {
                path: path.to_owned(),
                source,
            })?;
            listeners.push(unix);
        }
        let failed = |reactor| move |source| NodeError::Reactor { reactor, source };
        let mut polls = Vec::new();
        let mut inboxes = Vec::new();
        for reactor in 0..self.shared.config.reactors {
            let poll = Poll::new().map_err(failed(reactor))?;
            let inbox = Inbox::new(poll.registry()).map_err(failed(reactor))?;
            inboxes.push(Arc::new(inbox));
            polls.push(poll);
        }
        let mut reactors = Vec::new();
        for (number, (poll, inbox)) in polls.into_iter().zip(&inboxes).enumerate() {
            // All connections arrive at the first reactor, which hands them round.
            let listeners = std::mem::take(&mut listeners);
            let (shared, inbox) = (Arc::clone(&self.shared), Arc::clone(inbox));
            let reactor = Reactor::new(shared, inbox, inboxes.clone(), listeners, poll);
            reactors.push(reactor.map_err(failed(number as u32))?);
        }
        let mut running = Running {
            tcp_address: bound,
            unix_path: unix_path.map(Path::to_owned),
            inboxes,
            threads: Vec::new(),
        };
        for (number, reactor) in reactors.into_iter().enumerate() {
            let thread = thread::Builder::new()
                .name(format!("holdfast-node-{number}"))
                .spawn(move || reactor.run())
                .map_err(failed(number as u32))?;
            running.threads.push(thread);
        }
        Ok(running)
    }

    /// The TCP address that is listened at; `None` before the start.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.running
            .lock()
            .as_ref()
            .map(|running| running.tcp_address)
    }

    /// The Unix socket that is listened at, if any.
    #[must_use]
    pub fn unix_path(&self) -> Option<PathBuf> {
        self.running
            .lock()
            .as_ref()
            .and_then(|running| running.unix_path.clone())
    }

    /// Replaces the (key id, Ed25519 public key) pairs that tickets are checked with.
    pub fn set_ticket_keys(&self, keys: &[(u64, [u8; 32])]) {
        let cluster = self.shared.config.identity.cluster;
        self.shared.set_verifier(TicketVerifier::new(cluster, keys));
    }

    /// Installs what this node owns, unless a newer epoch is installed. `owned` holds one bitmap
    /// for each place in a group's order of owners, the first place first: bit g of byte g / 8 for
    /// group g. Of a space of n copies the owners are those in the first n places.
    ///
    /// # Errors
    /// [`NodeError::Bitmap`] when the bitmap's length does not match.
    pub fn set_route(&self, epoch: u64, group_count: u32, owned: &[u8]) -> Result<(), NodeError> {
        self.shared
            .set_route(Route::new(epoch, group_count, owned)?);
        Ok(())
    }

    /// Drops some blocks whose group's bit is not set in `keep`; true when all were looked at
    /// since the last time that this returned true. Bounded work.
    ///
    /// # Errors
    /// [`NodeError::Bitmap`] when the bitmap's length does not match.
    pub fn retain_groups(&self, group_count: u32, keep: &[u8]) -> Result<bool, NodeError> {
        check_bitmap(group_count, keep)?;
        let mut cursor = self.retain_cursor.lock();
        *cursor =
            self.shared
                .engine
                .retain_groups(*cursor, BACKGROUND_SLOTS, group_count, &|group| {
                    bitmap_get(keep, group as usize)
                });
        Ok(*cursor == 0)
    }

    /// Drops a deleted space for good: its number is never served again.
    pub fn drop_space(&self, space: u32) {
        self.shared.drop_space(space);
    }

    /// Bounds a tenant's bytes; `None` lifts the bound.
    pub fn set_tenant_limit(&self, tenant: u32, limit_bytes: Option<u64>) {
        self.shared.engine.set_tenant_limit(tenant, limit_bytes);
    }

    /// Drops some expired blocks; returns how many. Bounded work.
    pub fn sweep(&self) -> usize {
        let now_ms = self.shared.clock.monotonic_ms();
        self.shared.engine.sweep(now_ms, BACKGROUND_SLOTS)
    }

    /// Counters since the start, and what is true now.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let (granted_bytes, pinned_bytes) = self.shared.bytes_in_flight();
        let mut stats = NodeStats {
            engine: self.shared.engine.stats(),
            connections: self.shared.connections.load(Ordering::Relaxed),
            epoch: self.shared.route().epoch(),
            granted_bytes,
            pinned_bytes,
            ..NodeStats::default()
        };
        if let Some(running) = &*self.running.lock() {
            for inbox in &running.inboxes {
                stats.add(&inbox.counters);
            }
        }
        stats
    }

    /// Fault injection for tests: flips one bit of a stored block; false when it is not stored.
    ///
    /// # Errors
    /// [`NodeError::FaultInjection`] unless the node was made with `fault_injection`.
    pub fn flip_bit(&self, space: u32, id: &BlockId, bit: u64) -> Result<bool, NodeError> {
        if !self.shared.config.fault_injection {
            return Err(NodeError::FaultInjection);
        }
        let mut blocks = Vec::new();
        let now_ms = self.shared.clock.monotonic_ms();
        self.shared.engine.get(space, &[*id], now_ms, &mut blocks);
        let Some(Some(block)) = blocks.pop() else {
            return Ok(false);
        };
        let bits = block.block_bytes() as u64 * 8;
        let byte = (bit % bits) / 8;
        // SAFETY: the arena is mapped writable and the block is held, so the byte is its own.
        // Readers may see the change: that is what a fault looks like.
        unsafe {
            let address = block.as_ptr().cast_mut().add(byte as usize);
            address.write_volatile(address.read_volatile() ^ (1 << (bit % 8)));
        }
        Ok(true)
    }

    /// Takes no new requests, lets those under way end for `deadline_ms`, then closes everything.
    pub fn stop(&self, deadline_ms: u32) {
        let now_ms = self.shared.clock.monotonic_ms();
        self.shared.stop(now_ms + u64::from(deadline_ms));
        let threads = match &mut *self.running.lock() {
            Some(running) => {
                for inbox in &running.inboxes {
                    // A reactor that cannot be woken looks by itself within its tick.
                    let _ = inbox.wake();
                }
                std::mem::take(&mut running.threads)
            }
            None => Vec::new(),
        };
        for thread in threads {
            // A reactor catches its panics, so that there is no result to look at.
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop(0);
    }
}

fn listen_tcp(address: &str) -> Result<Listener, NodeError> {
    let unusable = || NodeError::Address {
        address: address.to_owned(),
    };
    let mut addresses = address.to_socket_addrs().map_err(|_| unusable())?;
    let resolved = addresses.next().ok_or_else(unusable)?;
    Listener::bind_tcp(resolved).map_err(|source| NodeError::ListenTcp {
        address: address.to_owned(),
        source,
    })
}
