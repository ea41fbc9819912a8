//! Python objects that keep a region's memory alive. The last use of a region may end on a thread
//! that does not hold the interpreter: then its owner waits here for one that does.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;

static LEFT_BEHIND: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
static ANY_LEFT: AtomicBool = AtomicBool::new(false);

thread_local! {
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

/// What is kept.
#[expect(dead_code, reason = "held for what dropping it does")]
pub enum Kept {
    /// An exported buffer.
    Buffer(PyUntypedBuffer),
    /// An object of any kind.
    Object(Py<PyAny>),
}

/// Keeps memory alive until it is dropped, and lets go of it only with the interpreter held.
pub struct Owner {
    kept: Option<Kept>,
}

impl Owner {
    /// An owner of `kept`.
    pub fn new(kept: Kept) -> Self {
        Self { kept: Some(kept) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        if ATTACHED.get() {
            drop(kept);
            return;
        }
        let mut left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(kept);
        ANY_LEFT.store(true, Ordering::Release);
    }
}

/// Runs `work`, during which owners may be let go of at once. The interpreter must be held, which
/// `_py` shows.
pub fn attached<T>(_py: Python<'_>, work: impl FnOnce() -> T) -> T {
    let before = ATTACHED.replace(true);
    let result = work();
    ATTACHED.set(before);
    result
}

/// Lets go of owners whose last use ended on a thread without the interpreter.
pub fn release_left_behind(_py: Python<'_>) {
    if !ANY_LEFT.swap(false, Ordering::Acquire) {
        return;
    }
    let left = {
        let mut guard = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *guard)
    };
    drop(left);
}
