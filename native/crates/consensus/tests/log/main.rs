//! The durable log: one conformance suite on both implementations, and power failures on a simulated
//! disk that tears and reorders what was not synced.
//!
//! Every random run prints its seed; `HOLDFAST_SEED=<seed> cargo test -p holdfast-consensus --test
//! log` replays exactly that run.

mod conformance;
mod entries;
mod faulty_disk;
mod files;
mod golden;
mod power_failures;
mod random_runs;
