//! Python objects that keep a region's memory alive. The last use of a region may end on a thread
//! that does not hold the interpreter: then its owner waits here for one that does.

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

/// What dropped owners kept, newest first. Without a lock, which a fork could catch held.
static LEFT_BEHIND: AtomicPtr<Left> = AtomicPtr::new(ptr::null_mut());

struct Left {
    kept: Py<PyAny>,
    next: *mut Left,
}

// The "C" ABI, by which `pyo3::ffi` declares it, has no place for what `let_go` guards against.
unsafe extern "C-unwind" {
    fn Py_DecRef(object: *mut ffi::PyObject);
}

/// Keeps memory alive until it is dropped, and then leaves what keeps it to a thread that holds
/// the interpreter (`release_left_behind`).
pub struct Owner {
    kept: Option<Py<PyAny>>,
}

impl Owner {
    /// An owner of memory that lives as long as `kept`.
    pub fn new(kept: Py<PyAny>) -> Self {
        Self { kept: Some(kept) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        let next = ptr::null_mut();
        let left = Box::into_raw(Box::new(Left { kept, next }));
        let mut head = LEFT_BEHIND.load(Ordering::Relaxed);
        loop {
            // SAFETY: until it is the head, no other thread knows of `left`.
            unsafe { (*left).next = head };
            match LEFT_BEHIND.compare_exchange_weak(
                head,
                left,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

/// Lets go of what dropped owners kept. No lock of this library may be held: other threads of
/// the program may run meanwhile, and so may code of the objects that are let go of.
pub fn release_left_behind(py: Python<'_>) {
    if LEFT_BEHIND.load(Ordering::Relaxed).is_null() {
        return;
    }
    let mut head = LEFT_BEHIND.swap(ptr::null_mut(), Ordering::Acquire);
    while !head.is_null() {
        // SAFETY: the swap made the whole list this thread's, each of it out of a box.
        let left = unsafe { Box::from_raw(head) };
        head = left.next;
        let_go(py, left.kept);
    }
}

/// Memory may be unmapped by this, for which CPython releases the interpreter. One that ends
/// meanwhile does not come back: before CPython 3.14 the thread then leaves by `pthread_exit`,
/// which unwinds its stack, and an unwinding that runs into Rust's `catch_unwind` aborts the
/// process. So the thread waits here for the end of the process, as threads do in CPython 3.14.
fn let_go(_py: Python<'_>, kept: Py<PyAny>) {
    let guard = WaitsForTheEnd;
    // SAFETY: the reference is given away here, and the interpreter is held.
    unsafe { Py_DecRef(kept.into_ptr()) };
    mem::forget(guard);
}

/// Is dropped only when the stack is unwound.
struct WaitsForTheEnd;

impl Drop for WaitsForTheEnd {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}
