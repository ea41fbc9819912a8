//! The client's errors as Python exceptions.

use holdfast_client::{ClientError as NativeClientError, SegmentsError as NativeSegmentsError};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::NativeError;

create_exception!(
    holdfast_native,
    ClientError,
    NativeError,
    "A call of the client was refused."
);
create_exception!(
    holdfast_native,
    ClosedError,
    ClientError,
    "The client or the region is closed."
);
create_exception!(
    holdfast_native,
    SegmentsError,
    ClientError,
    "Segments do not fit their regions, or the call."
);
create_exception!(
    holdfast_native,
    InFlightError,
    ClientError,
    "Too much is under way already; wait for some of it."
);
create_exception!(
    holdfast_native,
    ForkedError,
    ClientError,
    "The client belongs to the process that this one was forked from."
);

/// The Python exception of a client's error.
pub fn raised(error: NativeClientError) -> PyErr {
    let text = error.to_string();
    match error {
        NativeClientError::Closed { .. } => ClosedError::new_err(text),
        NativeClientError::Forked { .. } => ForkedError::new_err(text),
        NativeClientError::Segments(_) => SegmentsError::new_err(text),
        NativeClientError::InFlight { .. } => InFlightError::new_err(text),
        NativeClientError::Config { .. }
        | NativeClientError::TooManyKeys { .. }
        | NativeClientError::Map { .. }
        | NativeClientError::Ticket { .. } => PyValueError::new_err(text),
        NativeClientError::UnknownSpace(_)
        | NativeClientError::NotDone
        | NativeClientError::System { .. } => ClientError::new_err(text),
    }
}

/// Likewise, of segments.
pub fn segments_raised(error: NativeSegmentsError) -> PyErr {
    raised(error.into())
}
