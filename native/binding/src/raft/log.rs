//! The durable log and its in-memory twin.

use std::path::PathBuf;

use holdfast_consensus::{Compaction, DurableLog, EngineLog, EngineLogConfig, MemoryLog};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::effects::RaftEffects;
use super::errors::log_error;
use super::status::RaftCompaction;
use super::values::{RaftConfiguration, RaftRecovered, entry_records, hard_state_record};

/// One member's durable log in raft-engine. Every call that may touch the disk releases the GIL.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftLog(EngineLog);

/// `RaftLog`'s in-memory twin.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftMemoryLog(MemoryLog);

/// The calls that both classes share, made of the seam they share.
macro_rules! log_methods {
    ($class:ident, { $($own:tt)* }) => {
        #[pymethods]
        impl $class {
            $($own)*

            fn recovered(&self, py: Python<'_>) -> PyResult<RaftRecovered> {
                let recovered = py.detach(|| self.0.recovered());
                recovered.map(RaftRecovered).map_err(log_error)
            }

            fn bootstrap(&self, py: Python<'_>, voters: Vec<u64>) -> PyResult<()> {
                py.detach(|| self.0.bootstrap(&voters)).map_err(log_error)
            }

            fn persist(&self, py: Python<'_>, effects: &RaftEffects) -> PyResult<()> {
                let effects = &effects.0;
                py.detach(|| self.0.persist(effects)).map_err(log_error)
            }

            fn append(
                &self,
                py: Python<'_>,
                hard_state: Option<&[u8]>,
                entries: Vec<(u64, u64, PyBackedBytes)>,
                sync: bool,
            ) -> PyResult<()> {
                let hard_state = hard_state.map(hard_state_record).transpose()?;
                let entries = entry_records(&entries)?;
                py.detach(|| self.0.write(None, hard_state.as_ref(), &entries, sync))
                    .map_err(log_error)
            }

            fn install_snapshot(
                &self,
                py: Python<'_>,
                index: u64,
                term: u64,
                configuration: &RaftConfiguration,
            ) -> PyResult<()> {
                let configuration = configuration.0.clone();
                let start = Compaction { index, term, configuration };
                py.detach(|| self.0.install_snapshot(&start)).map_err(log_error)
            }

            fn compact_to(&self, py: Python<'_>, compaction: &RaftCompaction) -> PyResult<()> {
                let compaction = &compaction.0;
                py.detach(|| self.0.compact_to(compaction)).map_err(log_error)
            }

            fn close(&self, py: Python<'_>) -> PyResult<()> {
                py.detach(|| self.0.close()).map_err(log_error)
            }

            #[getter]
            fn bytes_on_disk(&self, py: Python<'_>) -> PyResult<u64> {
                py.detach(|| self.0.bytes_on_disk()).map_err(log_error)
            }

            #[getter]
            fn sync_count(&self, py: Python<'_>) -> u64 {
                py.detach(|| self.0.sync_count())
            }

            #[getter]
            fn last_index(&self, py: Python<'_>) -> PyResult<u64> {
                py.detach(|| self.0.last_index()).map_err(log_error)
            }
        }
    };
}

log_methods!(RaftLog, {
    #[staticmethod]
    #[pyo3(signature = (directory, *, file_bytes = 16_777_216, purge_bytes = 134_217_728))]
    fn open(
        py: Python<'_>,
        directory: PathBuf,
        file_bytes: u64,
        purge_bytes: u64,
    ) -> PyResult<Self> {
        let config = EngineLogConfig {
            file_bytes,
            purge_bytes,
        };
        py.detach(|| EngineLog::open(&directory, config))
            .map(Self)
            .map_err(log_error)
    }
});

log_methods!(RaftMemoryLog, {
    #[new]
    fn new() -> Self {
        Self(MemoryLog::new())
    }

    #[pyo3(signature = (unsynced_kept = 0))]
    fn crash(&self, unsynced_kept: usize) {
        self.0.crash(unsynced_kept);
    }
});
