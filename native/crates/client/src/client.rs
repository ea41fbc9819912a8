use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_erasure::Scheme;
use holdfast_wire::limits::{DEADLINE_MS_MAX, KEYS_PER_REQUEST_MAX};
use holdfast_wire::{SpaceKey, TICKET_BYTES};
use parking_lot::{Condvar, Mutex};

use crate::driver::Shared;
use crate::fork::ForkGuard;
use crate::lane::{Credential, LaneFailure};
use crate::operation::{OperationKind, OperationResult, OperationShared};
use crate::poller::{EventDescriptor, Poller};
use crate::random::Random;
use crate::state::{Background, Call, Counters, Space, State};
use crate::stripe::{Buffers, stripe_bytes};
use crate::{ClientConfig, ClientError, ClusterMap, Keys, Segments, SegmentsError};

/// Keys that one call takes at most.
pub const KEYS_PER_CALL_MAX: usize = 16 * KEYS_PER_REQUEST_MAX as usize;

/// Lanes to data nodes, routing by the cluster map, batches and deadlines.
///
/// Whoever waits for an operation drives the I/O; one background thread drives what nobody waits
/// for. Safe to share between threads. After a fork every call of the child fails with
/// [`ClientError::Forked`] and touches nothing of the parent's.
pub struct Client {
    shared: Arc<Shared>,
}

/// One batched call under way or done. Dropped early it goes on in the background.
pub struct Operation {
    client: Arc<Shared>,
    shared: Arc<OperationShared>,
}

/// A call on keys of a space.
pub struct Request<'a> {
    /// What to do.
    pub kind: OperationKind,
    /// The space, bound before.
    pub space: u32,
    /// The keys.
    pub keys: Keys<'a>,
    /// Get and put: where the blocks lie, one for each key.
    pub segments: Option<Arc<Segments>>,
    /// Put: block i has position `first_position + i` in its prefix.
    pub first_position: u32,
    /// Pin: how long, milliseconds, 0 to unpin.
    pub duration_ms: u32,
    /// Time for everything, milliseconds.
    pub deadline_ms: u64,
    /// Whether its end is told through the event descriptor.
    pub notify: bool,
}

impl Client {
    /// A client that is connected to nothing yet.
    ///
    /// # Errors
    /// A setting is out of its range, or the kernel refuses a descriptor.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let poller = Arc::new(Poller::new()?);
        let finished_event = Arc::new(EventDescriptor::new()?);
        let state = State {
            random: Random::new(config.seed),
            poller: Arc::clone(&poller),
            finished_event: Arc::clone(&finished_event),
            config,
            map: None,
            stale: false,
            tenant: None,
            spaces: HashMap::new(),
            generation: 0,
            peers: HashMap::new(),
            lanes: HashMap::new(),
            ungreeted: 0,
            next_number: 0,
            operations: HashMap::new(),
            bytes_in_flight: 0,
            background_operations: 0,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            broken: Vec::new(),
            timers: BinaryHeap::new(),
            copy_batches: 0,
            decodes: 0,
            touches: Vec::new(),
            spare_bytes: 0.0,
            completed: Vec::new(),
            counters: Counters::default(),
            closed: false,
            driving: false,
            background_driving: false,
            waiting: Vec::new(),
            driven_at: Instant::now(),
            driving_until: Instant::now(),
            background: Background::None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                poller,
                finished_event,
                background: Condvar::new(),
                fork: ForkGuard::new(),
                buffers: Arc::new(Buffers::default()),
            }),
        })
    }

    /// The ticket that opens connections, or its renewal.
    ///
    /// # Errors
    /// Wrong length, closed, or forked.
    pub fn set_tenant_ticket(&self, ticket: &[u8]) -> Result<(), ClientError> {
        let ticket = ticket_of(ticket)?;
        let mut state = self.lock()?;
        state.generation += 1;
        state.tenant = Some(Credential {
            ticket,
            generation: state.generation,
        });
        Ok(())
    }

    /// Makes a space usable on all present and later lanes, or renews its ticket. Blocks lie whole
    /// on `copies` nodes, or cut by `scheme` on as many as that has shards.
    ///
    /// # Errors
    /// A ticket of the wrong length, closed, or forked.
    pub fn bind_space(
        &self,
        tenant: u32,
        space: u32,
        block_bytes: u32,
        copies: u8,
        scheme: Option<Scheme>,
        ticket: &[u8],
    ) -> Result<(), ClientError> {
        let ticket = ticket_of(ticket)?;
        let mut state = self.lock()?;
        state.generation += 1;
        let credential = Credential {
            ticket,
            generation: state.generation,
        };
        let key = SpaceKey::new(&state.config.cluster, tenant, space);
        state.spaces.insert(
            space,
            Space {
                key,
                block_bytes: block_bytes as usize,
                copies: scheme.map_or(usize::from(copies.max(1)), Scheme::shards),
                scheme,
                credential,
            },
        );
        Ok(())
    }

    /// Installs a map unless it is older than the present one. The present one, given again, is
    /// known to be up to date from then on.
    ///
    /// # Errors
    /// Closed or forked.
    pub fn set_map(&self, map: ClusterMap) -> Result<(), ClientError> {
        let mut state = self.lock()?;
        state.offer_map(Arc::new(map));
        self.shared.hand_over(&state);
        Ok(())
    }

    /// Epoch of the map in use, 0 without one.
    ///
    /// # Errors
    /// Forked.
    pub fn epoch(&self) -> Result<u64, ClientError> {
        self.shared.fork.check()?;
        let state = self.shared.state.lock();
        Ok(state.map.as_ref().map_or(0, |map| map.epoch))
    }

    /// True once a node has shown that there is a newer map than the one in use.
    ///
    /// # Errors
    /// Forked.
    pub fn stale(&self) -> Result<bool, ClientError> {
        self.shared.fork.check()?;
        Ok(self.shared.state.lock().stale)
    }

    /// Starts a call. What can be sent at once is sent on this thread.
    ///
    /// # Errors
    /// The call does not fit its space or segments, too much is in flight, the client is closed,
    /// or the process was forked.
    pub fn start(&self, request: Request<'_>) -> Result<Operation, ClientError> {
        let keys = request.keys.len();
        if keys > KEYS_PER_CALL_MAX {
            return Err(ClientError::TooManyKeys {
                keys,
                limit: KEYS_PER_CALL_MAX,
            });
        }
        let (key, cut) = self.check_call(&request)?;
        let ids = request.keys.ids(&key);
        let deadline_ms = request.deadline_ms.min(u64::from(DEADLINE_MS_MAX));
        let deadline = Instant::now() + Duration::from_millis(deadline_ms);
        let (stripes, checksums) = match (cut, &request.segments) {
            (Some((scheme, block_bytes)), _) => self.stripes(&request, scheme, block_bytes)?,
            (None, Some(segments)) if request.kind == OperationKind::Put => {
                (None, self.checksums(segments)?)
            }
            (None, _) => (None, Vec::new()),
        };
        let mut state = self.lock()?;
        let shared = state.start(Call {
            kind: request.kind,
            space: request.space,
            ids,
            segments: request.segments,
            checksums,
            stripes,
            argument: request.duration_ms,
            first_position: request.first_position,
            deadline,
            notify: request.notify,
        })?;
        if !shared.done() {
            self.shared.after_start(&mut state, request.notify);
        }
        Ok(Operation {
            client: Arc::clone(&self.shared),
            shared,
        })
    }

    /// Looks the space up and checks the segments against it. Returns its key, and how its blocks
    /// are cut if they are: scheme and bytes of a block.
    fn check_call(
        &self,
        request: &Request<'_>,
    ) -> Result<(SpaceKey, Option<(Scheme, usize)>), ClientError> {
        let state = self.lock()?;
        let space = state
            .spaces
            .get(&request.space)
            .ok_or(ClientError::UnknownSpace(request.space))?;
        if let Some(segments) = &request.segments {
            let (keys, blocks) = (request.keys.len(), segments.blocks());
            if keys != blocks {
                return Err(SegmentsError::BlockCount { keys, blocks }.into());
            }
            if segments.block_bytes() != space.block_bytes {
                return Err(SegmentsError::BlockBytes {
                    space: request.space,
                    expected: space.block_bytes as u64,
                    found: segments.block_bytes() as u64,
                }
                .into());
            }
            if request.kind == OperationKind::Get
                && let Some(plane) = segments.readonly_plane()
            {
                return Err(SegmentsError::ReadOnly { plane }.into());
            }
        }
        let cut = space.scheme.map(|scheme| (scheme, space.block_bytes));
        if let (Some((scheme, block_bytes)), Some(_)) = (cut, &request.segments) {
            // Before anything is computed or lent for it.
            let blocks = request.keys.len() as u64;
            state.check_room(stripe_bytes(scheme, block_bytes, request.kind) * blocks)?;
        }
        Ok((space.key.clone(), cut))
    }

    /// Checksums for a put whose memory a node of this host could read itself; none otherwise,
    /// then they are made while the payload is sent.
    fn checksums(&self, segments: &Arc<Segments>) -> Result<Vec<u32>, ClientError> {
        if !segments.offerable() || !self.lock()?.has_local_node() {
            return Ok(Vec::new());
        }
        segments.acquire()?;
        let checksums = (0..segments.blocks())
            .map(|block| segments.checksum(block))
            .collect();
        segments.release();
        Ok(checksums)
    }

    /// A descriptor that is readable when an operation started with `notify` has ended.
    ///
    /// # Errors
    /// Forked.
    pub fn event_fd(&self) -> Result<RawFd, ClientError> {
        self.shared.fork.check()?;
        Ok(self.shared.finished_event.raw())
    }

    /// Tokens of such operations that ended since the last call; the descriptor is unreadable
    /// afterwards.
    ///
    /// # Errors
    /// Forked.
    pub fn completed(&self) -> Result<Vec<u64>, ClientError> {
        self.shared.fork.check()?;
        let mut state = self.shared.state.lock();
        self.shared.finished_event.clear();
        Ok(std::mem::take(&mut state.completed))
    }

    /// Cancels what is under way, closes every lane and ends the background thread; waits for
    /// that until the deadline. Closing twice is fine.
    ///
    /// # Errors
    /// Forked.
    pub fn close(&self, deadline: Instant) -> Result<(), ClientError> {
        self.shared.fork.check()?;
        let mut state = self.shared.state.lock();
        if !state.closed {
            state.close();
        }
        self.shared.background.notify_all();
        self.shared.poller.wake();
        while matches!(state.background, Background::Awake | Background::Asleep) {
            let waited = self.shared.background.wait_until(&mut state, deadline);
            if waited.timed_out() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.shared.buffers
    }

    pub(crate) fn lock(&self) -> Result<parking_lot::MutexGuard<'_, State>, ClientError> {
        self.shared.fork.check()?;
        let state = self.shared.state.lock();
        if state.closed {
            return Err(ClientError::Closed { what: "client" });
        }
        Ok(state)
    }

    pub(crate) fn lock_even_closed(
        &self,
    ) -> Result<parking_lot::MutexGuard<'_, State>, ClientError> {
        self.shared.fork.check()?;
        Ok(self.shared.state.lock())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.shared.fork.forked() {
            // Descriptors and locks belong to the parent: the child's copies are left alone.
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
        // The background thread ends by itself; nobody waits for it here. Closing fails only in
        // a forked child.
        let _ = self.close(Instant::now());
    }
}

impl Operation {
    /// Its number, unique on its client.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.shared.token
    }

    /// Whether it has ended. Moves what can be moved without waiting.
    ///
    /// # Errors
    /// Forked.
    pub fn done(&self) -> Result<bool, ClientError> {
        self.client.fork.check()?;
        if !self.shared.done() {
            self.client.look(&self.shared);
        }
        Ok(self.shared.done())
    }

    /// Drives the I/O until it has ended (true) or `until`.
    ///
    /// # Errors
    /// Forked.
    pub fn wait(&self, until: Instant) -> Result<bool, ClientError> {
        self.client.fork.check()?;
        if self.shared.done() {
            return Ok(true);
        }
        Ok(self.client.wait(&self.shared, until))
    }

    /// Ends it now; once this returns nothing touches its segments.
    ///
    /// # Errors
    /// Forked.
    pub fn cancel(&self) -> Result<(), ClientError> {
        self.client.fork.check()?;
        self.client.cancel(&self.shared);
        Ok(())
    }

    /// Has its end told through the event descriptor from now on. False when it has ended.
    ///
    /// # Errors
    /// Forked.
    pub fn notify(&self) -> Result<bool, ClientError> {
        self.client.fork.check()?;
        let mut state = self.client.state.lock();
        if !state.turn_to_background(self.shared.token, true) {
            return Ok(false);
        }
        self.client.after_start(&mut state, true);
        Ok(true)
    }

    /// What became of it.
    ///
    /// # Errors
    /// [`ClientError::NotDone`] before it has ended.
    pub fn result(&self) -> Result<&OperationResult, ClientError> {
        self.shared.result()
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.client.fork.forked() {
            std::mem::forget(Arc::clone(&self.client));
            return;
        }
        if !self.shared.done() {
            let mut state = self.client.state.lock();
            if state.turn_to_background(self.shared.token, false) {
                self.client.after_start(&mut state, true);
            }
        }
    }
}

impl State {
    fn has_local_node(&self) -> bool {
        self.peers.values().any(|peer| {
            peer.transport(&self.config) == Some(holdfast_wire::TransportKind::SharedMemory)
        })
    }

    /// From now on the background thread drives an operation; false when it has ended.
    fn turn_to_background(&mut self, token: u64, notify: bool) -> bool {
        let Some(running) = self.operations.get_mut(&token) else {
            return false;
        };
        let before = running.in_background();
        running.notify |= notify;
        running.orphaned |= !notify;
        self.background_operations += usize::from(!before);
        true
    }

    fn close(&mut self) {
        self.closed = true;
        let tokens: Vec<u64> = self.operations.keys().copied().collect();
        for token in tokens {
            self.end(token, holdfast_wire::KeyStatus::Cancelled);
        }
        let lanes: Vec<u64> = self.lanes.keys().copied().collect();
        for number in lanes {
            self.drop_lane(number, &LaneFailure::ClientClosed);
        }
        self.dirty.clear();
        self.broken.clear();
        self.timers.clear();
    }
}

fn ticket_of(bytes: &[u8]) -> Result<[u8; TICKET_BYTES], ClientError> {
    bytes.try_into().map_err(|_| ClientError::Ticket {
        found: bytes.len(),
        expected: TICKET_BYTES,
    })
}
