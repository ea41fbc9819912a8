//! Values that come out of the Raft core, frozen.

use std::sync::Arc;

use holdfast_consensus::{
    CommittedEntry, Effects, EntryKind, Envelope, HardStateRecord, Snapshot, SoftState,
};
use pyo3::prelude::*;

use super::errors::core_error;
use super::values::{RaftConfiguration, StoredEntry, stored_entries};

/// One message between members.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftMessage(Envelope);

#[pymethods]
impl RaftMessage {
    #[staticmethod]
    fn parse(data: &[u8]) -> PyResult<Self> {
        Envelope::decode(data).map(Self).map_err(core_error)
    }

    #[getter]
    fn sender(&self) -> u64 {
        self.0.sender()
    }

    #[getter]
    fn to(&self) -> u64 {
        self.0.to()
    }

    #[getter]
    fn term(&self) -> u64 {
        self.0.term()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind().name()
    }

    #[getter]
    fn snapshot_index(&self) -> Option<u64> {
        self.0.snapshot().map(|(index, _)| index)
    }

    #[getter]
    fn snapshot_data(&self) -> Option<Vec<u8>> {
        self.0.snapshot().map(|(_, data)| data.to_vec())
    }

    #[getter]
    fn data(&self) -> Vec<u8> {
        self.0.encode()
    }
}

/// One committed entry.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftEntry(CommittedEntry);

#[pymethods]
impl RaftEntry {
    #[getter]
    fn index(&self) -> u64 {
        self.0.position.index
    }

    #[getter]
    fn term(&self) -> u64 {
        self.0.position.term
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.0.kind {
            EntryKind::Normal => "normal",
            EntryKind::Configuration => "configuration",
        }
    }

    #[getter]
    fn context(&self) -> &[u8] {
        &self.0.context
    }

    #[getter]
    fn data(&self) -> &[u8] {
        &self.0.data
    }
}

/// A snapshot to install.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftSnapshot(Snapshot);

#[pymethods]
impl RaftSnapshot {
    #[getter]
    fn index(&self) -> u64 {
        self.0.start.index
    }

    #[getter]
    fn term(&self) -> u64 {
        self.0.start.term
    }

    #[getter]
    fn configuration(&self) -> RaftConfiguration {
        RaftConfiguration(self.0.start.configuration.clone())
    }

    #[getter]
    fn data(&self) -> &[u8] {
        &self.0.data
    }
}

/// Role and leader.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftSoftState(SoftState);

#[pymethods]
impl RaftSoftState {
    #[getter]
    fn role(&self) -> &'static str {
        self.0.role.name()
    }

    #[getter]
    fn leader(&self) -> Option<u64> {
        self.0.leader
    }
}

/// Everything the host must do now.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftEffects(pub(super) Arc<Effects>);

#[pymethods]
impl RaftEffects {
    #[getter]
    fn number(&self) -> u64 {
        self.0.number
    }

    #[getter]
    fn hard_state(&self) -> Option<Vec<u8>> {
        self.0.hard_state.as_ref().map(HardStateRecord::encode)
    }

    #[getter]
    fn entries(&self) -> Vec<StoredEntry> {
        stored_entries(&self.0.entries)
    }

    #[getter]
    fn entry_count(&self) -> usize {
        self.0.entries.len()
    }

    #[getter]
    fn must_sync(&self) -> bool {
        self.0.must_sync
    }

    #[getter]
    fn snapshot(&self) -> Option<RaftSnapshot> {
        self.0.snapshot.clone().map(RaftSnapshot)
    }

    #[getter]
    fn messages(&self) -> Vec<RaftMessage> {
        self.0.messages.iter().cloned().map(RaftMessage).collect()
    }

    #[getter]
    fn messages_after_persist(&self) -> Vec<RaftMessage> {
        let messages = &self.0.messages_after_persist;
        messages.iter().cloned().map(RaftMessage).collect()
    }

    #[getter]
    fn committed(&self) -> Vec<RaftEntry> {
        self.0.committed.iter().cloned().map(RaftEntry).collect()
    }

    #[getter]
    fn read_states(&self) -> Vec<(Vec<u8>, u64)> {
        let points = &self.0.read_points;
        points
            .iter()
            .map(|point| (point.context.clone(), point.index))
            .collect()
    }

    #[getter]
    fn soft_state(&self) -> Option<RaftSoftState> {
        self.0.soft_state.map(RaftSoftState)
    }

    #[getter]
    fn snapshot_wanted(&self) -> Vec<(u64, u64)> {
        let wanted = &self.0.snapshots_wanted;
        wanted
            .iter()
            .map(|wanted| (wanted.member_id, wanted.index))
            .collect()
    }
}
