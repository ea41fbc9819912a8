//! The data node's server side: connections of the block protocol meet the chunk engine.
//!
//! A [`Node`] owns an engine and a few reactor threads. Each reactor polls its own connections
//! and answers a request on the thread that read it; payload moves between sockets and the arena
//! by vectored calls, never through a buffer of this crate. The frames and what they mean are in
//! `holdfast_wire` and docs/formats.md.
#![warn(missing_docs)]

mod budget;
mod clock;
mod config;
mod connection;
mod counters;
mod error;
mod exchange;
mod grant;
mod incoming;
mod node;
mod offered;
mod outgoing;
mod pull;

mod reactor;
mod regions;
mod removals;
mod requests;
mod route;
mod scrub;
mod session;
mod shared;
mod stats;
mod views;

pub use clock::Clock;
pub use config::{Identity, NodeConfig};
pub use error::NodeError;
pub use node::Node;
pub use pull::{PullRequest, PullResult};
pub use scrub::Scrubbed;
pub use stats::{LATENCY_BUCKETS, NodeStats};
