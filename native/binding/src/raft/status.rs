//! What a member looks like from outside.

use holdfast_consensus::{Compaction, Progress, Status};
use pyo3::prelude::*;

use super::values::RaftConfiguration;

/// How far one member is, as its leader sees it.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftProgress(Progress);

#[pymethods]
impl RaftProgress {
    #[getter]
    fn member_id(&self) -> u64 {
        self.0.member_id
    }

    #[getter]
    fn matched(&self) -> u64 {
        self.0.matched
    }

    #[getter]
    fn next_index(&self) -> u64 {
        self.0.next_index
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.0.replication.name()
    }

    #[getter]
    fn recently_active(&self) -> bool {
        self.0.recently_active
    }

    #[getter]
    fn learner(&self) -> bool {
        self.0.learner
    }
}

/// One look at a member.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftStatus(pub(super) Status);

#[pymethods]
impl RaftStatus {
    #[getter]
    fn member_id(&self) -> u64 {
        self.0.member_id
    }

    #[getter]
    fn role(&self) -> &'static str {
        self.0.role.name()
    }

    #[getter]
    fn leader(&self) -> Option<u64> {
        self.0.leader
    }

    #[getter]
    fn term(&self) -> u64 {
        self.0.term
    }

    #[getter]
    fn vote(&self) -> Option<u64> {
        self.0.vote
    }

    #[getter]
    fn commit(&self) -> u64 {
        self.0.commit
    }

    #[getter]
    fn applied(&self) -> u64 {
        self.0.applied
    }

    #[getter]
    fn first_index(&self) -> u64 {
        self.0.first_index
    }

    #[getter]
    fn last_index(&self) -> u64 {
        self.0.last_index
    }

    #[getter]
    fn window_bytes(&self) -> u64 {
        self.0.window_bytes
    }

    #[getter]
    fn election_timeout_ticks(&self) -> u64 {
        self.0.election_timeout_ticks
    }

    #[getter]
    fn configuration(&self) -> RaftConfiguration {
        RaftConfiguration(self.0.configuration.clone())
    }

    #[getter]
    fn transferee(&self) -> Option<u64> {
        self.0.transferee
    }

    #[getter]
    fn progress(&self) -> Vec<RaftProgress> {
        self.0.progress.iter().cloned().map(RaftProgress).collect()
    }
}

/// Where the log now begins.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftCompaction(pub(super) Compaction);

#[pymethods]
impl RaftCompaction {
    #[getter]
    fn index(&self) -> u64 {
        self.0.index
    }

    #[getter]
    fn term(&self) -> u64 {
        self.0.term
    }

    #[getter]
    fn configuration(&self) -> RaftConfiguration {
        RaftConfiguration(self.0.configuration.clone())
    }
}
