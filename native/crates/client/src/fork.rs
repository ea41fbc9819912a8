use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ClientError;

/// How often this process image was forked, counted in the child.
static FORKS: AtomicU64 = AtomicU64::new(0);
static HANDLER: Once = Once::new();

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Tells the process that made something from its forked children, without a system call.
pub(crate) struct ForkGuard {
    forks: u64,
    process: u32,
}

impl ForkGuard {
    pub(crate) fn new() -> Self {
        // SAFETY: the handler only adds to an atomic number. Registering fails only when memory
        // is out; then a fork is not noticed, which is what every program without it lives with.
        HANDLER.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(count_fork));
        });
        Self {
            forks: FORKS.load(Ordering::Relaxed),
            process: std::process::id(),
        }
    }

    /// Whether this is a child of the process that made it: then no lock and no descriptor of
    /// the guarded object may be touched, they may be held or shared.
    pub(crate) fn forked(&self) -> bool {
        FORKS.load(Ordering::Relaxed) != self.forks
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        if !self.forked() {
            return Ok(());
        }
        Err(ClientError::Forked {
            parent: self.process,
            child: std::process::id(),
        })
    }
}
