use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::ClientError;

/// Events taken at once.
const EVENTS_MAX: usize = 64;
/// Token of the poller's own wake-up.
const WAKE: u64 = u64::MAX;

/// What one descriptor is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readiness {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// The other side is closed, or everything is broken.
    pub hung_up: bool,
}

/// An event counter of the kernel that threads and event loops can wait for.
pub(crate) struct EventDescriptor {
    descriptor: OwnedFd,
}

/// Waits for many connections at once, edge-triggered. Any thread may add connections while one
/// thread waits.
pub(crate) struct Poller {
    descriptor: OwnedFd,
    wake: EventDescriptor,
}

fn owned(call: &'static str, result: libc::c_int) -> Result<OwnedFd, ClientError> {
    if result < 0 {
        let source = io::Error::last_os_error();
        return Err(ClientError::System { call, source });
    }
    // SAFETY: the kernel just made this descriptor for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

impl EventDescriptor {
    pub(crate) fn new() -> Result<Self, ClientError> {
        // SAFETY: a plain call.
        let result = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        Ok(Self {
            descriptor: owned("eventfd", result)?,
        })
    }

    /// Makes it readable.
    pub(crate) fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes of this frame. It fails only when it is as full as can be, and
        // then it is readable already.
        unsafe { libc::write(self.raw(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable until it is set again.
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes of this frame. It fails only when it was not set.
        unsafe { libc::read(self.raw(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl Poller {
    pub(crate) fn new() -> Result<Self, ClientError> {
        // SAFETY: a plain call.
        let result = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let poller = Self {
            descriptor: owned("epoll_create1", result)?,
            wake: EventDescriptor::new()?,
        };
        poller
            .control(poller.wake.raw(), WAKE, libc::EPOLLIN)
            .map_err(|source| ClientError::System {
                call: "epoll_ctl",
                source,
            })?;
        Ok(poller)
    }

    /// Watches a connection for everything. It is forgotten when its descriptor is closed.
    pub(crate) fn add(&self, descriptor: RawFd, token: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        self.control(descriptor, token, events)
    }

    fn control(&self, descriptor: RawFd, token: u64, events: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: the event is owned by this frame.
        let result = unsafe {
            libc::epoll_ctl(
                self.descriptor.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                descriptor,
                &raw mut event,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Ends a wait of another thread.
    pub(crate) fn wake(&self) {
        self.wake.set();
    }

    /// Waits until something is ready, somebody wakes it, a signal comes, or `until`. Polls
    /// without blocking for the first `spin`.
    pub(crate) fn wait(&self, spin: Duration, until: Instant, ready: &mut Vec<Readiness>) {
        ready.clear();
        let begin = Instant::now();
        if !spin.is_zero() {
            while begin.elapsed() < spin {
                if self.poll(0, ready) {
                    return;
                }
                // The node may be waiting for this very core.
                std::thread::yield_now();
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up, so that a short rest does not become a busy loop.
        let timeout_ms = left.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
        self.poll(timeout_ms, ready);
    }

    /// True when something happened.
    pub(crate) fn poll(&self, timeout_ms: libc::c_int, ready: &mut Vec<Readiness>) -> bool {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: the array is owned by this frame and its length is given. A failure can only
        // be a signal: the wait ends early then.
        let count = unsafe {
            libc::epoll_wait(
                self.descriptor.as_raw_fd(),
                events.as_mut_ptr(),
                EVENTS_MAX as libc::c_int,
                timeout_ms,
            )
        };
        for event in events.iter().take(count.max(0) as usize) {
            let token = event.u64;
            if token == WAKE {
                self.wake.clear();
                continue;
            }
            let bits = event.events as libc::c_int;
            let hung_up = bits & (libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP) != 0;
            ready.push(Readiness {
                token,
                readable: hung_up || bits & libc::EPOLLIN != 0,
                writable: hung_up || bits & libc::EPOLLOUT != 0,
                hung_up,
            });
        }
        count != 0
    }
}
