//! Lanes of the client: opened on demand, worked on in slices, dropped when they fail.

use std::cmp::Reverse;
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_transport::{SocketOptions, Stream};
use holdfast_wire::TransportKind;

use crate::TransportChoice;
use crate::lane::{Flushed, Lane, LaneContext, LaneFailure, LaneIdentity};
use crate::peer::Health;
use crate::request::Request;
use crate::state::{State, Timer};

/// What a lane may move before another one gets its turn, bytes.
const SLICE_BYTES: usize = 1 << 20;

impl State {
    /// Begins a connection to a node; `None` when the kernel refuses at once.
    pub(crate) fn open_lane(&mut self, node: u64, place: usize, now: Instant) -> Option<u64> {
        let tenant = self.tenant.clone()?;
        let (stream, transport) = match self.connect(node) {
            Ok(connected) => connected,
            Err(error) => {
                self.fail_peer(node, &LaneFailure::Io(error), now);
                return None;
            }
        };
        self.next_number += 1;
        let number = self.next_number;
        if let Err(error) = self.poller.add(stream.as_raw_fd(), number) {
            self.fail_peer(node, &LaneFailure::Io(error), now);
            return None;
        }
        let identity = LaneIdentity {
            cluster: self.config.cluster,
            client: self.config.client,
            node,
            transport,
        };
        let lane = Lane::new(stream, &identity, place, &tenant, now);
        self.lanes.insert(number, Box::new(lane));
        self.counters.lanes_opened += 1;
        self.ungreeted += 1;
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.lanes[place] = Some(number);
            peer.counters.connections += 1;
        }
        let by = now + Duration::from_millis(u64::from(self.config.connect_timeout_ms));
        self.timers.push(Reverse((by, Timer::Greeting(number))));
        self.dirty.push(number);
        Some(number)
    }

    fn connect(&mut self, node: u64) -> io::Result<(Stream, TransportKind)> {
        let options = SocketOptions::default();
        let unknown = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the cluster map names no such node",
            )
        };
        let peer = self.peers.get_mut(&node).ok_or_else(unknown)?;
        let transport = peer.transport(&self.config).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "the node does not share this host's memory and TCP is not allowed",
            )
        })?;
        if transport == TransportKind::SharedMemory {
            let path = Path::new(&peer.entry.unix_path);
            match Stream::connect_unix(path, &options) {
                Ok(stream) => return Ok((stream, transport)),
                Err(error) if self.config.transport != TransportChoice::Auto => return Err(error),
                Err(_) => peer.use_tcp = true,
            }
        }
        let mut addresses = peer.entry.tcp_address.to_socket_addrs()?;
        let address = addresses.next().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the node's name has no address")
        })?;
        let stream = Stream::connect_tcp(address, &options)?;
        Ok((stream, TransportKind::Tcp))
    }

    /// Sends what was handed to lanes and deals with those that broke, until nothing is left.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some((number, failure)) = self.broken.pop() {
                self.fail_lane(number, &failure);
            } else if let Some(number) = self.dirty.pop() {
                self.push_out(number);
            } else {
                return;
            }
        }
    }

    /// Sends a lane's waiting requests as far as the kernel takes them in one slice.
    fn push_out(&mut self, number: u64) {
        let (Some(lane), Some(tenant)) = (self.lanes.get_mut(&number), &self.tenant) else {
            return;
        };
        let spaces = &self.spaces;
        lane.pump(&LaneContext {
            tenant,
            spaces: &|space| spaces.get(&space).map(|space| space.credential.clone()),
            epoch: self.map.as_ref().map_or(0, |map| map.epoch),
            now: Instant::now(),
        });
        if !lane.writable || !lane.has_output() {
            return;
        }
        match lane.flush(SLICE_BYTES) {
            Ok(Flushed::More) if !lane.queued => {
                lane.queued = true;
                self.ready.push_back(number);
            }
            Ok(_) => {}
            Err(failure) => self.broken.push((number, failure)),
        }
    }

    /// Works on one ready lane for one slice. False when there is none.
    pub(crate) fn work(&mut self) -> bool {
        let Some(number) = self.ready.pop_front() else {
            return false;
        };
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.queued = false;
            self.work_on(number);
        }
        true
    }

    /// Receives on a lane for one slice and sends what comes of it.
    pub(crate) fn work_on(&mut self, number: u64) {
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        let node = lane.node;
        let mut events = Vec::new();
        let received = lane.bytes_received;
        if let Err(failure) = lane.receive(SLICE_BYTES, Instant::now(), &mut events) {
            self.broken.push((number, failure));
        }
        let epoch_seen = lane.epoch_seen;
        if lane.bytes_received > received
            && let Some(peer) = self.peers.get_mut(&node)
        {
            peer.silent_since = None;
        }
        self.stale |= self.map.as_ref().is_some_and(|map| epoch_seen > map.epoch);
        self.on_events(number, node, events);
        self.dirty.push(number);
        self.settle();
        if let Some(lane) = self.lanes.get_mut(&number)
            && !lane.queued
            && ((lane.readable && lane.expects_input()) || (lane.writable && lane.has_output()))
        {
            lane.queued = true;
            self.ready.push_back(number);
        }
    }

    /// Closes a lane; returns the requests that were on it.
    pub(crate) fn drop_lane(&mut self, number: u64, failure: &LaneFailure) -> Vec<Request> {
        let Some(lane) = self.lanes.remove(&number) else {
            return Vec::new();
        };
        self.ungreeted -= usize::from(!lane.ready());
        self.counters.lanes_cut += u64::from(failure.is_ours());
        self.counters.lanes_failed += u64::from(!failure.is_ours());
        if let Some(peer) = self.peers.get_mut(&lane.node) {
            if peer.lanes.get(lane.place) == Some(&Some(number)) {
                peer.lanes[lane.place] = None;
            }
            if !failure.is_ours() {
                peer.counters.failures += 1;
                peer.last_error = failure.to_string();
            }
        }
        lane.into_requests()
    }

    fn fail_lane(&mut self, number: u64, failure: &LaneFailure) {
        let Some(lane) = self.lanes.get(&number) else {
            return;
        };
        let (node, greeted, transport) = (lane.node, lane.ready(), lane.transport);
        let requests = self.drop_lane(number, failure);
        let fall_back = transport == TransportKind::SharedMemory
            && self.config.transport == TransportChoice::Auto
            && (!greeted || failure.of_shared_memory());
        let mut retry = true;
        if fall_back {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.use_tcp = true;
                if peer.health == Health::Trying {
                    // The try goes on over TCP, at once.
                    peer.health = Health::Bad {
                        retry_at: Instant::now(),
                    };
                    self.watch_retry(node);
                }
            }
        } else if !greeted || failure.blames_node() {
            self.fail_peer(node, failure, Instant::now());
            retry = false;
        }
        for request in requests {
            self.on_broken(node, request, failure, retry);
        }
    }

    /// Marks a node as failed: nobody asks it until it greets again.
    fn fail_peer(&mut self, node: u64, failure: &LaneFailure, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.last_error = failure.to_string();
            if matches!(peer.health, Health::Bad { .. }) {
                return;
            }
            peer.fail(&self.config, &mut self.random, now);
            self.watch_retry(node);
        }
    }

    pub(crate) fn watch_retry(&mut self, node: u64) {
        if let Some(peer) = self.peers.get(&node)
            && let Health::Bad { retry_at } = peer.health
        {
            self.timers.push(Reverse((retry_at, Timer::Retry(node))));
        }
    }

    /// Gives a silent node up: all its lanes end, nobody asks it until it greets again.
    pub(crate) fn suspect(&mut self, node: u64, now: Instant) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        peer.counters.timeouts += 1;
        let lanes: Vec<u64> = peer.lanes.iter().flatten().copied().collect();
        self.fail_peer(node, &LaneFailure::Silent, now);
        for number in lanes {
            self.broken.push((number, LaneFailure::Silent));
        }
    }
}

impl LaneFailure {
    /// Whether the node itself is at fault, so that it is left alone for a while. A connection
    /// that just ended says nothing: the node may have closed it as idle.
    fn blames_node(&self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Io(_) | Self::MidPayload | Self::Replaced | Self::ClientClosed
        )
    }
}
