//! Memory of this process, as the client takes it.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::Region as NativeRegion;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::client_errors::SegmentsError;
use crate::owners::{Owner, release_left_behind};

/// Memory of this process that blocks are read from and written to; holds its buffer.
#[pyclass(frozen, module = "holdfast_native")]
pub struct Region {
    native: Option<Arc<NativeRegion>>,
}

#[pymethods]
impl Region {
    #[new]
    #[pyo3(
        signature = (buffer, *, descriptor = -1, descriptor_offset = 0),
        text_signature = "(buffer, *, descriptor=-1, descriptor_offset=0)"
    )]
    fn new(
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        descriptor: RawFd,
        descriptor_offset: u64,
    ) -> PyResult<Self> {
        release_left_behind(py);
        let view = PyMemoryView::from(buffer)?;
        let buffer = PyUntypedBuffer::get(&view)?;
        if !buffer.is_c_contiguous() {
            return Err(SegmentsError::new_err(
                "the buffer is not C-contiguous: register its base, or a contiguous copy",
            ));
        }
        let (address, nbytes) = (buffer.buf_ptr() as usize, buffer.len_bytes());
        let readonly = buffer.readonly();
        let file = match descriptor {
            -1 => None,
            open => Some((duplicate(open)?, descriptor_offset)),
        };
        let owner = Owner::new(view.into_any().unbind());
        // SAFETY: the view keeps the buffer exported, and its memory where it is, until the owner
        // is dropped.
        let native = unsafe { NativeRegion::new(address, nbytes, readonly, Box::new(owner), file) };
        Ok(Self::of(native))
    }

    #[staticmethod]
    fn from_address(
        py: Python<'_>,
        address: usize,
        nbytes: usize,
        owner: Py<PyAny>,
        readonly: bool,
    ) -> PyResult<Self> {
        release_left_behind(py);
        if (address == 0 && nbytes > 0) || address.checked_add(nbytes).is_none() {
            return Err(PyValueError::new_err(format!(
                "{nbytes} bytes at address {address:#x} are no memory"
            )));
        }
        let owner = Owner::new(owner);
        // SAFETY: the caller vouches that `owner` keeps the memory alive; that is this function's
        // contract in Python.
        let native = unsafe { NativeRegion::new(address, nbytes, readonly, Box::new(owner), None) };
        Ok(Self::of(native))
    }

    #[getter]
    fn address(&self) -> usize {
        self.native().address()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.native().nbytes()
    }

    #[getter]
    fn readonly(&self) -> bool {
        self.native().readonly()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.native().closed()
    }

    fn close(&self, py: Python<'_>, deadline_ms: u64) -> PyResult<bool> {
        let until = Instant::now() + Duration::from_millis(deadline_ms.min(1 << 40));
        let native = self.native();
        loop {
            let slice = until.min(Instant::now() + Duration::from_millis(100));
            let closed = py.detach(|| native.close(slice));
            release_left_behind(py);
            if closed || Instant::now() >= until {
                return Ok(closed);
            }
            py.check_signals()?;
        }
    }
}

impl Region {
    fn of(native: NativeRegion) -> Self {
        Self {
            native: Some(Arc::new(native)),
        }
    }

    /// The crate's region. It is there until this object is deallocated.
    pub fn native(&self) -> &Arc<NativeRegion> {
        match &self.native {
            Some(native) => native,
            None => unreachable!("a region is taken apart only when it is deallocated"),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.native = None;
        // Deallocation happens with the interpreter held, so that the memory goes at once.
        Python::attach(release_left_behind);
    }
}

fn duplicate(descriptor: RawFd) -> PyResult<OwnedFd> {
    if descriptor < 0 {
        return Err(PyValueError::new_err(format!(
            "descriptor is {descriptor}; it must be an open file, or -1 for none"
        )));
    }
    // SAFETY: the caller's descriptor is only looked at during this call; if it is not open the
    // kernel says so.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed
        .try_clone_to_owned()
        .map_err(|error| PyOSError::new_err(format!("descriptor {descriptor}: {error}")))
}
