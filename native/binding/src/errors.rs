//! The exception tree of the native module. Each crate's errors map one to one to classes here.

use pyo3::create_exception;
use pyo3::exceptions::PyException;

create_exception!(
    holdfast_native,
    NativeError,
    PyException,
    "Root of every error that the native module raises."
);
