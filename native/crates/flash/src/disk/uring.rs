use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use io_uring::types::{Fd, Fixed, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

use super::{Action, Completion, Disk, Operation, open_file, whole};
use crate::FlashError;

/// Token of the read of the event descriptor.
const WAKE_TOKEN: u64 = u64::MAX;
/// The disk's file among the ring's registered ones.
const FILE: Fixed = Fixed(0);

/// A file or block device behind io_uring: one ring, used by the thread that owns the disk.
pub struct UringDisk {
    ring: IoUring,
    /// Operations that the kernel has, by the number that its completion carries.
    flights: Vec<Option<Flight>>,
    vacant: Vec<usize>,
    event: Arc<Event>,
    /// Where the kernel puts the count of calls of the waker.
    woken: Box<u64>,
    size_bytes: u64,
    direct: bool,
    _file: File,
}

struct Flight {
    token: u64,
    bytes: usize,
    vectors: Vec<libc::iovec>,
}

// SAFETY: the vectors name memory for which the operations' maker answers; nothing else in here is
// bound to a thread.
unsafe impl Send for UringDisk {}

struct Event(OwnedFd);

impl Wake for Event {
    fn wake(self: Arc<Self>) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes of our own to an open event descriptor. It can only fail when the
        // count is full, and then the wait ends anyway.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl UringDisk {
    /// Opens `path` (see [`open_file`]) with room for so many operations at a time.
    ///
    /// # Errors
    /// As of [`open_file`], or the kernel refuses a ring; [`super::ThreadDisk`] needs none.
    pub fn open(path: &Path, bytes: u64, operations_max: u32) -> Result<Self, FlashError> {
        let opened = open_file(path, bytes)?;
        let refused = |source| FlashError::Ring { source };
        let entries = operations_max.clamp(2, 4096).next_power_of_two();
        let ring = IoUring::builder()
            .setup_cqsize(entries * 2)
            .build(entries)
            .map_err(refused)?;
        ring.submitter()
            .register_files(&[opened.file.as_raw_fd()])
            .map_err(refused)?;
        // SAFETY: makes a descriptor, which the value below owns.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(refused(io::Error::last_os_error()));
        }
        // SAFETY: just made, owned by nobody else.
        let event = Arc::new(Event(unsafe { OwnedFd::from_raw_fd(event) }));
        let count = entries as usize - 1;
        let mut disk = Self {
            ring,
            flights: (0..count).map(|_| None).collect(),
            vacant: (0..count).rev().collect(),
            event,
            woken: Box::new(0),
            size_bytes: opened.size_bytes,
            direct: opened.direct,
            _file: opened.file,
        };
        disk.listen().map_err(refused)?;
        Ok(disk)
    }

    /// Whether the page cache is passed by.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Waits for the waker, inside of the ring.
    fn listen(&mut self) -> io::Result<()> {
        let into = (&raw mut *self.woken).cast::<u8>();
        let read = opcode::Read::new(Fd(self.event.0.as_raw_fd()), into, 8)
            .build()
            .user_data(WAKE_TOKEN);
        // SAFETY: the count and the descriptor live as long as the ring; see `drop`.
        unsafe { self.push(&read) }
    }

    /// # Safety
    /// What the entry names stays valid until it has completed.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: as the caller says.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    fn begin(&mut self, place: usize, operation: Operation) -> io::Result<()> {
        let mut flight = Flight {
            token: operation.token,
            bytes: 0,
            vectors: Vec::new(),
        };
        let entry = match operation.action {
            Action::Read { offset, into } => {
                flight.bytes = into.bytes();
                opcode::Read::new(FILE, into.start(), into.bytes() as u32)
                    .offset(offset)
                    .build()
            }
            Action::Write { offset, pieces } => {
                let vector = |piece: &super::Span| libc::iovec {
                    iov_base: piece.start().cast(),
                    iov_len: piece.bytes(),
                };
                flight.bytes = pieces.iter().map(super::Span::bytes).sum();
                flight.vectors = pieces.iter().map(vector).collect();
                opcode::Writev::new(FILE, flight.vectors.as_ptr(), pieces.len() as u32)
                    .offset(offset)
                    .build()
            }
            Action::Sync => opcode::Fsync::new(FILE).flags(FsyncFlags::DATASYNC).build(),
        };
        // The vectors lie on the heap, so that they stay where they are when the flight moves.
        self.flights[place] = Some(flight);
        // SAFETY: the vectors live in `flights` until the completion; the memory that they name
        // does so by the operation's contract.
        unsafe { self.push(&entry.user_data(place as u64)) }
    }

    /// Moves completions out of the ring; whether the waker was called.
    fn reap(&mut self, completions: &mut Vec<Completion>) -> bool {
        let mut woken = false;
        for entry in self.ring.completion() {
            if entry.user_data() == WAKE_TOKEN {
                woken = true;
                continue;
            }
            let place = entry.user_data() as usize;
            let flight = self.flights[place]
                .take()
                .expect("the kernel completes what it was given, once");
            self.vacant.push(place);
            let result = match entry.result() {
                moved if moved >= 0 => whole(moved as usize, flight.bytes),
                code => Err(io::Error::from_raw_os_error(-code)),
            };
            completions.push(Completion {
                token: flight.token,
                result,
            });
        }
        woken
    }
}

impl Disk for UringDisk {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn submit(&mut self, operations: &mut VecDeque<Operation>) -> io::Result<()> {
        while !operations.is_empty() {
            let Some(place) = self.vacant.pop() else {
                break;
            };
            if let Some(operation) = operations.pop_front() {
                self.begin(place, operation)?;
            }
        }
        self.ring.submit().map(|_| ())
    }

    fn wait(&mut self, timeout: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        let timespec = Timespec::from(timeout);
        let arguments = SubmitArgs::new().timespec(&timespec);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        if self.reap(completions) {
            self.listen()?;
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.event))
    }
}

impl Drop for UringDisk {
    /// Waits until the kernel has let go of all memory.
    fn drop(&mut self) {
        let mut completions = Vec::new();
        Arc::clone(&self.event).wake();
        let mut listening = true;
        while listening || self.flights.iter().any(Option::is_some) {
            if self.ring.submit_and_wait(1).is_err() {
                // Nothing can be waited for: memory that the kernel may still write must not
                // be used again.
                std::process::abort();
            }
            listening &= !self.reap(&mut completions);
        }
    }
}
