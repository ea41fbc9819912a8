use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end.
    Readable,
    /// Room to write, or the end of connecting.
    Writable,
    /// Either.
    Both,
}

/// Waits until the descriptor is ready or `timeout` is over; true when it is ready. A signal
/// ends the wait early with `Interrupted`, so that the caller can look at it.
///
/// # Errors
/// What the kernel says; a broken connection counts as ready.
pub fn wait(descriptor: BorrowedFd<'_>, interest: Interest, timeout: Duration) -> io::Result<bool> {
    let events = match interest {
        Interest::Readable => libc::POLLIN,
        Interest::Writable => libc::POLLOUT,
        Interest::Both => libc::POLLIN | libc::POLLOUT,
    };
    let mut entry = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events,
        revents: 0,
    };
    // Rounded up, so that a short rest does not become a busy loop.
    let timeout_ms = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as libc::c_int;
    // SAFETY: one entry, owned by this frame.
    let ready = unsafe { libc::poll(&raw mut entry, 1, timeout_ms) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ready > 0)
}
