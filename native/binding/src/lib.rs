//! PyO3 face of the native crates: converts, releases the GIL, calls one crate.
use pyo3::prelude::*;

mod limits;

/// The compiled half of `holdfast_native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::limits::{RawPeer, RawProbe, raw_copy, raw_fill};
}
