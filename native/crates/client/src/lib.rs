//! The caller's side of the block protocol: lanes to data nodes, routing by the cluster map,
//! batches, deadlines.
//!
//! A [`Client`] starts [`Operation`]s on batches of keys. Each key ends with a status
//! ([`holdfast_wire::KeyStatus`]); nothing that a node does or fails to do is an error. The
//! table of how answers of several nodes become one status stands in `merge.rs`.
//!
//! **Memory.** Payload moves between sockets (or the node's shared memory) and the caller's
//! [`Segments`] without a copy between. Once an operation has ended, in whatever way, nothing
//! reads or writes its segments: the connection is drained elsewhere or closed, copies out of
//! shared memory are made by threads of the caller and waited for.
//!
//! **Time.** An operation ends at its deadline at the latest. A node that is silent until then
//! is left alone until it greets again, so it costs one deadline at most.
#![warn(missing_docs)]

mod again;
mod client;
mod config;
mod copies;
mod driver;
mod error;
mod fork;
mod installing;
mod keys;
mod lane;
mod lanes;
mod map;
mod merge;
mod operation;
mod outcomes;
mod peer;
mod poller;
mod random;
mod region;
mod request;
mod routing;
mod segments;
mod state;
mod stats;
mod stripe;
mod timers;
mod views;

pub use client::{Client, KEYS_PER_CALL_MAX, Operation, Request};
pub use config::{ClientConfig, TransportChoice};
pub use error::{ClientError, SegmentsError};
pub use keys::Keys;
pub use map::{ClusterMap, NodeEntry};
pub use operation::{OperationKind, OperationResult};
pub use region::Region;
pub use segments::{Plane, Segments};
pub use stats::NodeStats;
