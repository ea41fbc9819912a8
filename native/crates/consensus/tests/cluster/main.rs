//! A whole cluster in one thread: simulated time, network and disks, faults drawn from one seed.
//!
//! Every random run prints its seed. `HOLDFAST_SEED=<seed> cargo test -p holdfast-consensus --test
//! cluster` replays exactly that run, `HOLDFAST_SEEDS=<count>` runs that many.

mod chaos;
mod cluster;
mod leadership;
mod machine;
mod member;
mod membership;
mod network;
mod oracle;
mod random;
mod reads;
mod refusals;
mod snapshots;
