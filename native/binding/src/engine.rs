//! The chunk engine alone, for benches: what data nodes run, without sockets.

use holdfast_engine::measure::{fill_engine, lookup_engine, replay_engine};
use holdfast_engine::reference::{belady_hits, lru_hits, s3fifo_hits};
use holdfast_engine::{EngineConfig, EvictionConfig, SpaceSpec};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;

/// The space that benches fill.
const SPACE: u32 = 1;

/// A chunk engine of one space.
#[pyclass(module = "holdfast_native", frozen)]
pub struct Engine {
    engine: holdfast_engine::Engine,
    spec: SpaceSpec,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, arena_bytes, block_bytes, extent_bytes = 16 << 20, prefault = true))]
    fn new(
        py: Python<'_>,
        arena_bytes: u64,
        block_bytes: u32,
        extent_bytes: u64,
        prefault: bool,
    ) -> PyResult<Self> {
        let config = EngineConfig {
            arena_bytes,
            extent_bytes,
            prefault,
            ..EngineConfig::default()
        }
        .validate()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let engine = py
            .detach(|| holdfast_engine::Engine::new(config))
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        let spec = SpaceSpec {
            tenant: 1,
            space: SPACE,
            block_bytes,
            ttl_s: 0,
            priority: 0,
        };
        Ok(Self { engine, spec })
    }

    /// Puts blocks without touching their payload: seconds, and the largest index seen.
    fn fill(&self, py: Python<'_>, first: u64, count: u64) -> PyResult<(f64, u64)> {
        let filled = py
            .detach(|| fill_engine(&self.engine, &self.spec, first, count))
            .map_err(|error| PyMemoryError::new_err(error.to_string()))?;
        Ok((filled.elapsed.as_secs_f64(), filled.index_bytes_max))
    }

    /// Looks up batches of 256 random ids, half absent: keys per second.
    fn lookup_rate(&self, py: Python<'_>, stored: u64, batches: u64) -> f64 {
        let looked = py.detach(|| lookup_engine(&self.engine, SPACE, stored, batches));
        looked.keys as f64 / looked.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Everything resident that is not payload.
    fn index_bytes(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.engine.index_bytes())
    }

    /// Blocks stored now.
    #[getter]
    fn blocks(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.engine.stats().blocks)
    }
}

/// A trace of requests, each a list of block numbers in prefix order.
#[pyclass(module = "holdfast_native", frozen)]
pub struct Trace {
    blocks: Vec<u64>,
    /// Where each request ends in `blocks`.
    ends: Vec<usize>,
}

#[pymethods]
impl Trace {
    #[new]
    fn new(py: Python<'_>, blocks: PyBuffer<u64>, lengths: PyBuffer<u64>) -> PyResult<Self> {
        let blocks = blocks.to_vec(py)?;
        let mut ends = Vec::new();
        let mut end = 0usize;
        for length in lengths.to_vec(py)? {
            end = end.saturating_add(length as usize);
            ends.push(end);
        }
        if end != blocks.len() {
            return Err(PyValueError::new_err(format!(
                "lengths sum up to {end} but there are {} blocks",
                blocks.len()
            )));
        }
        Ok(Self { blocks, ends })
    }

    /// Block references in all.
    #[getter]
    fn references(&self) -> usize {
        self.blocks.len()
    }

    /// Hits of the engine with room for so many blocks.
    fn engine_hits(&self, py: Python<'_>, capacity_blocks: u64) -> PyResult<u64> {
        py.detach(|| replay_engine(self.requests(), capacity_blocks, EvictionConfig::default()))
            .map(|result| result.hits)
            .map_err(|error| PyOSError::new_err(error.to_string()))
    }

    /// Hits of the least-recently-used policy.
    fn lru_hits(&self, py: Python<'_>, capacity_blocks: u64) -> u64 {
        py.detach(|| lru_hits(self.requests(), capacity_blocks))
    }

    /// Hits of S3-FIFO.
    fn s3fifo_hits(&self, py: Python<'_>, capacity_blocks: u64) -> u64 {
        py.detach(|| s3fifo_hits(self.requests(), capacity_blocks))
    }

    /// Hits of Belady's policy, which knows the future.
    fn belady_hits(&self, py: Python<'_>, capacity_blocks: u64) -> u64 {
        let requests: Vec<&[u64]> = self.requests().collect();
        py.detach(|| belady_hits(&requests, capacity_blocks))
    }
}

impl Trace {
    fn requests(&self) -> impl Iterator<Item = &[u64]> + Send {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let bounds = starts.zip(self.ends.iter().copied());
        bounds.map(|(start, end)| &self.blocks[start..end])
    }
}
