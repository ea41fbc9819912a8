//! PyO3 face of the native crates: converts, releases the GIL, calls one crate.
use pyo3::prelude::*;

/// The compiled half of `holdfast_native`.
#[pymodule]
mod _native {}
