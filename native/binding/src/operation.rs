//! One batched call, as Python sees it.

use std::time::{Duration, Instant};

use holdfast_client::{Operation as NativeOperation, OperationKind as NativeKind};
use holdfast_wire::{KeyStatus as WireStatus, StatEntry};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::client_errors::raised;
use crate::owners::release_left_behind;

/// Signals are looked at this often while waiting.
pub const SIGNAL_PERIOD: Duration = Duration::from_millis(100);
/// How long a wait outlasts its call's deadline, at which the call ends by itself.
const GRACE_MS: u64 = 1000;

/// (node, crc, write_id, position_class, touches, pinned, age_ms)
type StatTuple = (u64, u32, u32, u8, u8, bool, u64);

/// One batched call under way or done.
#[pyclass(frozen, module = "holdfast_native")]
pub struct Operation {
    native: NativeOperation,
}

impl Operation {
    /// Of the crate's.
    pub fn of(native: NativeOperation) -> Self {
        Self { native }
    }
}

#[pymethods]
impl Operation {
    #[getter]
    fn token(&self) -> u64 {
        self.native.token()
    }

    #[getter]
    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        if self.native.result().is_ok() {
            return Ok(true);
        }
        py.detach(|| self.native.done()).map_err(raised)
    }

    /// Drives the I/O until it is done or the time is over. Answers signals (SIGINT raises).
    fn wait(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<bool> {
        let until = Instant::now() + Duration::from_millis(timeout_ms.min(1 << 40));
        loop {
            let slice = until.min(Instant::now() + SIGNAL_PERIOD);
            let done = py.detach(|| self.native.wait(slice)).map_err(raised)?;
            release_left_behind(py);
            if done || Instant::now() >= until {
                return Ok(done);
            }
            py.check_signals()?;
        }
    }

    /// Waits for its end, a moment longer than its deadline, and answers what became of it. One
    /// that is not done then, or when a signal raises, is cancelled.
    pub fn finish<'py>(&self, py: Python<'py>, deadline_ms: u64) -> PyResult<Bound<'py, PyTuple>> {
        if self.native.result().is_err() {
            let waited = self.wait(py, deadline_ms.saturating_add(GRACE_MS));
            if !matches!(waited, Ok(true)) {
                self.cancel(py)?;
            }
            waited?;
        }
        self.outcome(py)
    }

    /// Ends it now; once this returns nothing touches its segments.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.native.cancel()).map_err(raised)
    }

    /// Has its end told through the event descriptor from now on; False when it has ended.
    fn notify(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.native.notify()).map_err(raised)
    }

    /// One `KeyStatus` a key; why keys were not served, counted; of a stat the facts of each key
    /// besides (node 0: absent).
    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let result = self.native.result().map_err(raised)?;
        let statuses = PyBytes::new_with(py, result.statuses.len(), |bytes| {
            for (byte, status) in bytes.iter_mut().zip(&result.statuses) {
                *byte = *status as u8;
            }
            Ok(())
        })?;
        let reasons = PyDict::new(py);
        for (reason, count) in &result.reasons {
            reasons.set_item(reason, count)?;
        }
        if result.stats.is_empty() {
            return (statuses, reasons).into_pyobject(py);
        }
        let facts: Vec<StatTuple> = result.stats.iter().map(facts_of).collect();
        (statuses, reasons, facts).into_pyobject(py)
    }
}

fn facts_of(entry: &Option<(u64, StatEntry)>) -> StatTuple {
    match entry {
        Some((node, entry)) => (
            *node,
            entry.crc,
            entry.write_id,
            entry.position_class,
            entry.touches,
            entry.pinned,
            entry.age_ms,
        ),
        None => (0, 0, 0, 0, 0, false, 0),
    }
}

/// What a call does with its keys, as small integers.
#[pyclass(frozen, module = "holdfast_native")]
pub struct OperationKind;

const KINDS: [NativeKind; 6] = [
    NativeKind::Exists,
    NativeKind::Get,
    NativeKind::Put,
    NativeKind::Delete,
    NativeKind::Pin,
    NativeKind::Stat,
];

#[pymethods]
impl OperationKind {
    #[classattr]
    const EXISTS: u8 = 0;
    #[classattr]
    const GET: u8 = 1;
    #[classattr]
    const PUT: u8 = 2;
    #[classattr]
    const DELETE: u8 = 3;
    #[classattr]
    const PIN: u8 = 4;
    #[classattr]
    const STAT: u8 = 5;
}

/// What a small integer means.
pub fn operation_kind(kind: u8) -> PyResult<NativeKind> {
    KINDS.get(usize::from(kind)).copied().ok_or_else(|| {
        PyValueError::new_err(format!(
            "{kind} is no OperationKind: 0 to {}",
            KINDS.len() - 1
        ))
    })
}

/// Per-key results, as small integers.
#[pyclass(frozen, module = "holdfast_native")]
pub struct KeyStatus;

macro_rules! statuses {
    ($($name:ident = $status:ident),+ $(,)?) => {
        #[pymethods]
        impl KeyStatus {
            $(
                #[classattr]
                const $name: u8 = WireStatus::$status as u8;
            )+
        }
    };
}

statuses! {
    MISS = Miss,
    HIT = Hit,
    STORED = Stored,
    PRESENT = Present,
    BUSY = Busy,
    REFUSED = Refused,
    UNKNOWN = Unknown,
    CORRUPT = Corrupt,
    NOT_OWNER = NotOwner,
    TIMED_OUT = TimedOut,
    UNREACHABLE = Unreachable,
    CANCELLED = Cancelled,
}
