//! Raw limits of the machine for the benches.
use std::net::SocketAddr;

use holdfast_limits::{Peer, Probe, Waiting, copy_blocks};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// The peer process of raw measurements.
#[pyclass(module = "holdfast_native", name = "RawPeer", frozen)]
pub struct RawPeer {
    peer: Peer,
}

#[pymethods]
impl RawPeer {
    #[new]
    fn new(py: Python<'_>, set_bytes: usize, seed: u64) -> PyResult<Self> {
        let peer = py.detach(|| Peer::bind(set_bytes, seed))?;
        Ok(Self { peer })
    }

    #[getter]
    fn address(&self) -> PyResult<String> {
        Ok(self.peer.address()?.to_string())
    }

    fn serve(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.peer.serve())?)
    }
}

/// One connection to a `RawPeer`.
#[pyclass(module = "holdfast_native", name = "RawProbe")]
pub struct RawProbe {
    probe: Probe,
}

#[pymethods]
impl RawProbe {
    #[new]
    fn new(address: &str) -> PyResult<Self> {
        let address: SocketAddr = address
            .parse()
            .map_err(|_| PyValueError::new_err(format!("not an address: {address}")))?;
        Ok(Self {
            probe: Probe::connect(address)?,
        })
    }

    fn receive(
        &mut self,
        py: Python<'_>,
        destination: PyBuffer<u8>,
        total: usize,
        read_bytes: usize,
        write_bytes: usize,
    ) -> PyResult<f64> {
        let memory = bytes_mut(&destination)?;
        let probe = &mut self.probe;
        let took = py.detach(|| probe.receive(memory, total, read_bytes, write_bytes))?;
        Ok(took.as_secs_f64())
    }

    fn send(
        &mut self,
        py: Python<'_>,
        source: PyBuffer<u8>,
        total: usize,
        read_bytes: usize,
        write_bytes: usize,
    ) -> PyResult<f64> {
        let memory = bytes(&source)?;
        let probe = &mut self.probe;
        let took = py.detach(|| probe.send(memory, total, read_bytes, write_bytes))?;
        Ok(took.as_secs_f64())
    }

    fn round_trips(
        &mut self,
        py: Python<'_>,
        reply_bytes: usize,
        count: usize,
        spinning: bool,
    ) -> PyResult<Vec<u64>> {
        let waiting = if spinning {
            Waiting::Spinning
        } else {
            Waiting::Blocking
        };
        let probe = &mut self.probe;
        Ok(py.detach(|| probe.round_trips(&mut vec![0; reply_bytes], count, waiting))?)
    }
}

/// Seconds that plain copies of blocks take, see `copy_blocks` of crate `limits`.
#[pyfunction]
pub fn raw_copy(
    py: Python<'_>,
    source: PyBuffer<u8>,
    destination: PyBuffer<u8>,
    block_bytes: usize,
    order: Vec<u64>,
) -> PyResult<f64> {
    let (from, to) = (bytes(&source)?, bytes_mut(&destination)?);
    let blocks = from.len() / block_bytes.max(1);
    if block_bytes == 0 || to.len() < block_bytes || order.iter().any(|at| *at >= blocks as u64) {
        return Err(PyValueError::new_err(
            "a block lies outside the memory given",
        ));
    }
    Ok(py
        .detach(|| copy_blocks(from, to, block_bytes, &order))
        .as_secs_f64())
}

/// Fills memory with incompressible bytes, the same for the same seed.
#[pyfunction]
pub fn raw_fill(py: Python<'_>, destination: PyBuffer<u8>, seed: u64) -> PyResult<()> {
    let memory = bytes_mut(&destination)?;
    py.detach(|| Probe::fill(memory, seed));
    Ok(())
}

fn bytes(buffer: &PyBuffer<u8>) -> PyResult<&[u8]> {
    if !buffer.is_c_contiguous() {
        return Err(PyOSError::new_err("the buffer is not contiguous"));
    }
    // SAFETY: the buffer is contiguous and held by `buffer`; benches do not write it meanwhile.
    Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) })
}

#[expect(
    clippy::mut_from_ref,
    reason = "the memory belongs to the caller's buffer"
)]
fn bytes_mut(buffer: &PyBuffer<u8>) -> PyResult<&mut [u8]> {
    if !buffer.is_c_contiguous() || buffer.readonly() {
        return Err(PyOSError::new_err(
            "the buffer is not writable and contiguous",
        ));
    }
    // SAFETY: as above, and the bench hands each buffer to one call at a time.
    Ok(unsafe { std::slice::from_raw_parts_mut(buffer.buf_ptr().cast(), buffer.len_bytes()) })
}
