//! Values that go into the Raft core, frozen.

use holdfast_consensus::{
    Compaction, Configuration, CoreConfig, EntryRecord, HardStateRecord, Recovered,
};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::errors::core_error;

/// (index, term, protobuf entry) as it crosses the border.
pub(super) type StoredEntry = (u64, u64, Vec<u8>);

/// Entries given by the host, decoded and compared with the positions given beside them.
pub(super) fn entry_records(entries: &[(u64, u64, PyBackedBytes)]) -> PyResult<Vec<EntryRecord>> {
    entries
        .iter()
        .map(|(index, term, bytes)| {
            let record = EntryRecord::decode(bytes).map_err(core_error)?;
            let position = record.position();
            if (position.index, position.term) != (*index, *term) {
                return Err(super::errors::RaftMessageError::new_err(format!(
                    "entry (index {}, term {}) was given as (index {index}, term {term})",
                    position.index, position.term
                )));
            }
            Ok(record)
        })
        .collect()
}

/// An empty hard state is that of a member that knows nothing.
pub(super) fn hard_state_record(bytes: &[u8]) -> PyResult<HardStateRecord> {
    HardStateRecord::decode(bytes).map_err(core_error)
}

pub(super) fn stored_entries(entries: &[EntryRecord]) -> Vec<StoredEntry> {
    entries
        .iter()
        .map(|entry| {
            let position = entry.position();
            (position.index, position.term, entry.encode())
        })
        .collect()
}

/// Settings of one member.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftConfig(pub(super) CoreConfig);

#[pymethods]
impl RaftConfig {
    #[new]
    #[pyo3(signature = (
        member_id, *, election_ticks = 10, heartbeat_ticks = 1, messages_inflight_max = 256,
        message_bytes_max = 1_048_576, uncommitted_bytes_max = 67_108_864,
        committed_bytes_per_ready_max = 16_777_216, entry_bytes_max = 8_388_608,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        member_id: u64,
        election_ticks: u32,
        heartbeat_ticks: u32,
        messages_inflight_max: u32,
        message_bytes_max: u64,
        uncommitted_bytes_max: u64,
        committed_bytes_per_ready_max: u64,
        entry_bytes_max: u64,
    ) -> PyResult<Self> {
        let config = CoreConfig {
            member_id,
            election_ticks,
            heartbeat_ticks,
            messages_inflight_max,
            message_bytes_max,
            uncommitted_bytes_max,
            committed_bytes_per_ready_max,
            entry_bytes_max,
        };
        config.validate().map_err(core_error)?;
        Ok(Self(config))
    }

    #[getter]
    fn member_id(&self) -> u64 {
        self.0.member_id
    }

    #[getter]
    fn election_ticks(&self) -> u32 {
        self.0.election_ticks
    }

    #[getter]
    fn heartbeat_ticks(&self) -> u32 {
        self.0.heartbeat_ticks
    }

    #[getter]
    fn messages_inflight_max(&self) -> u32 {
        self.0.messages_inflight_max
    }

    #[getter]
    fn message_bytes_max(&self) -> u64 {
        self.0.message_bytes_max
    }

    #[getter]
    fn uncommitted_bytes_max(&self) -> u64 {
        self.0.uncommitted_bytes_max
    }

    #[getter]
    fn committed_bytes_per_ready_max(&self) -> u64 {
        self.0.committed_bytes_per_ready_max
    }

    #[getter]
    fn entry_bytes_max(&self) -> u64 {
        self.0.entry_bytes_max
    }
}

/// Who votes.
#[pyclass(module = "holdfast_native", frozen, eq, hash)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RaftConfiguration(pub(super) Configuration);

#[pymethods]
impl RaftConfiguration {
    #[new]
    #[pyo3(signature = (
        voters, learners = Vec::new(), voters_outgoing = Vec::new(), learners_next = Vec::new(),
        auto_leave = false,
    ))]
    fn new(
        voters: Vec<u64>,
        learners: Vec<u64>,
        voters_outgoing: Vec<u64>,
        learners_next: Vec<u64>,
        auto_leave: bool,
    ) -> Self {
        Self(Configuration::from_parts(
            &voters,
            &learners,
            &voters_outgoing,
            &learners_next,
            auto_leave,
        ))
    }

    #[staticmethod]
    fn decode(data: &[u8]) -> PyResult<Self> {
        Configuration::decode(data).map(Self).map_err(core_error)
    }

    fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    #[getter]
    fn voters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ids(py, &self.0.voters)
    }

    #[getter]
    fn learners<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ids(py, &self.0.learners)
    }

    #[getter]
    fn voters_outgoing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ids(py, &self.0.voters_outgoing)
    }

    #[getter]
    fn learners_next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ids(py, &self.0.learners_next)
    }

    #[getter]
    fn auto_leave(&self) -> bool {
        self.0.auto_leave
    }

    #[getter]
    fn joint(&self) -> bool {
        self.0.is_joint()
    }

    fn __repr__(&self) -> String {
        format!(
            "RaftConfiguration(voters={:?}, learners={:?}, voters_outgoing={:?}, \
             learners_next={:?}, auto_leave={})",
            self.0.voters,
            self.0.learners,
            self.0.voters_outgoing,
            self.0.learners_next,
            if self.0.auto_leave { "True" } else { "False" },
        )
    }
}

fn ids<'py>(py: Python<'py>, ids: &[u64]) -> PyResult<Bound<'py, PyAny>> {
    Ok(pyo3::types::PyTuple::new(py, ids)?.into_any())
}

/// What a log holds after a restart.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftRecovered(pub(super) Recovered);

#[pymethods]
impl RaftRecovered {
    #[new]
    fn new(
        hard_state: &[u8],
        configuration: &RaftConfiguration,
        snapshot_index: u64,
        snapshot_term: u64,
        entries: Vec<(u64, u64, PyBackedBytes)>,
    ) -> PyResult<Self> {
        Ok(Self(Recovered {
            hard_state: hard_state_record(hard_state)?,
            start: Compaction {
                index: snapshot_index,
                term: snapshot_term,
                configuration: configuration.0.clone(),
            },
            entries: entry_records(&entries)?,
        }))
    }

    #[staticmethod]
    fn bootstrap(voters: Vec<u64>) -> Self {
        Self(Recovered::bootstrap(&voters))
    }

    #[staticmethod]
    fn empty() -> Self {
        Self(Recovered::default())
    }

    #[getter]
    fn hard_state(&self) -> Vec<u8> {
        self.0.hard_state.encode()
    }

    #[getter]
    fn configuration(&self) -> RaftConfiguration {
        RaftConfiguration(self.0.start.configuration.clone())
    }

    #[getter]
    fn snapshot_index(&self) -> u64 {
        self.0.start.index
    }

    #[getter]
    fn snapshot_term(&self) -> u64 {
        self.0.start.term
    }

    #[getter]
    fn entries(&self) -> Vec<StoredEntry> {
        stored_entries(&self.0.entries)
    }

    #[getter]
    fn first_index(&self) -> u64 {
        self.0.start.index + 1
    }

    #[getter]
    fn last_index(&self) -> u64 {
        self.0.last_index()
    }

    #[getter]
    fn term(&self) -> u64 {
        self.0.hard_state.term()
    }

    #[getter]
    fn commit(&self) -> u64 {
        self.0.hard_state.commit()
    }

    #[getter]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
