//! Segment lists, as the client takes them.

use std::sync::Arc;

use holdfast_client::{Plane, Segments as NativeSegments};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::client_errors::{SegmentsError, segments_raised};
use crate::owners::release_left_behind;
use crate::region::Region;

/// Where the bytes of each block of a batch lie.
#[pyclass(frozen, module = "holdfast_native")]
pub struct Segments {
    native: Option<Arc<NativeSegments>>,
}

/// (region, base, block_stride, runs, run_stride, run_bytes)
type PlaneTuple<'py> = (Bound<'py, Region>, i64, i64, usize, i64, usize);

#[pymethods]
impl Segments {
    #[new]
    fn new(py: Python<'_>, planes: Vec<PlaneTuple<'_>>, indices: PyBuffer<i64>) -> PyResult<Self> {
        release_left_behind(py);
        if !indices.is_c_contiguous() || indices.dimensions() != 1 {
            return Err(SegmentsError::new_err(format!(
                "indices must be a C-contiguous int64 array of 1 dimension, not {}",
                indices.dimensions()
            )));
        }
        let planes = planes
            .into_iter()
            .map(
                |(region, base, block_stride, runs, run_stride, run_bytes)| Plane {
                    region: Arc::clone(region.get().native()),
                    base,
                    block_stride,
                    runs,
                    run_stride,
                    run_bytes,
                },
            )
            .collect();
        let native = NativeSegments::new(planes, indices.to_vec(py)?).map_err(segments_raised)?;
        Ok(Self {
            native: Some(Arc::new(native)),
        })
    }

    #[getter]
    fn blocks(&self) -> usize {
        self.native().blocks()
    }

    #[getter]
    fn block_bytes(&self) -> usize {
        self.native().block_bytes()
    }
}

impl Segments {
    /// The crate's segments. They are there until this object is deallocated.
    pub fn native(&self) -> &Arc<NativeSegments> {
        match &self.native {
            Some(native) => native,
            None => unreachable!("segments are taken apart only when they are deallocated"),
        }
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.native = None;
        // Deallocation happens with the interpreter held, so that the memory goes at once.
        Python::attach(release_left_behind);
    }
}
