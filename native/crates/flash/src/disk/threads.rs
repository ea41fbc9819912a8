use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Action, Completion, Disk, Operation, Span, open_file, whole};
use crate::FlashError;

/// A file or block device behind a pool of threads, for where io_uring is refused.
pub struct ThreadDisk {
    work: Option<SyncSender<Operation>>,
    events: Receiver<Event>,
    waker: Waker,
    threads: Vec<JoinHandle<()>>,
    in_flight: usize,
    operations_max: usize,
    size_bytes: u64,
}

enum Event {
    Done(Completion),
    Woken,
}

struct EventWaker(Mutex<Sender<Event>>);

impl Wake for EventWaker {
    fn wake(self: Arc<Self>) {
        // A disk that is gone waits for nothing.
        let _ = self.0.lock().send(Event::Woken);
    }
}

impl ThreadDisk {
    /// Opens `path` (see [`open_file`]) with `threads` (1 to 256) operations at a time.
    ///
    /// # Errors
    /// As of [`open_file`], or the kernel refuses a thread.
    pub fn open(path: &Path, bytes: u64, threads: usize) -> Result<Self, FlashError> {
        let opened = open_file(path, bytes)?;
        let threads = threads.clamp(1, 256);
        let file = Arc::new(opened.file);
        let (work, taken) = sync_channel(threads);
        let (done, events) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let mut disk = Self {
            work: Some(work),
            events,
            waker: Waker::from(Arc::new(EventWaker(Mutex::new(done.clone())))),
            threads: Vec::new(),
            in_flight: 0,
            operations_max: threads * 2,
            size_bytes: opened.size_bytes,
        };
        for number in 0..threads {
            let (file, taken, done) = (Arc::clone(&file), Arc::clone(&taken), done.clone());
            let thread = std::thread::Builder::new()
                .name(format!("flash-disk-{number}"))
                .spawn(move || serve(&file, &taken, &done))
                .map_err(|source| FlashError::Thread { source })?;
            disk.threads.push(thread);
        }
        Ok(disk)
    }

    fn take(&mut self, event: Event, completions: &mut Vec<Completion>) {
        if let Event::Done(completion) = event {
            self.in_flight -= 1;
            completions.push(completion);
        }
    }
}

impl Disk for ThreadDisk {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn submit(&mut self, operations: &mut VecDeque<Operation>) -> io::Result<()> {
        while self.in_flight < self.operations_max {
            let (Some(operation), Some(work)) = (operations.pop_front(), &self.work) else {
                break;
            };
            let gone = |_| io::Error::other("the threads of the disk have ended");
            work.send(operation).map_err(gone)?;
            self.in_flight += 1;
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        match self.events.recv_timeout(timeout) {
            Ok(event) => self.take(event, completions),
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the threads of the disk have ended"));
            }
        }
        while let Ok(event) = self.events.try_recv() {
            self.take(event, completions);
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Drop for ThreadDisk {
    /// Waits until no thread uses any operation's memory.
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked uses no memory either.
            let _ = thread.join();
        }
    }
}

fn serve(file: &File, work: &Mutex<Receiver<Operation>>, done: &Sender<Event>) {
    loop {
        let operation = work.lock().recv();
        let Ok(operation) = operation else {
            return;
        };
        let result = perform(file, &operation.action);
        let token = operation.token;
        if done
            .send(Event::Done(Completion { token, result }))
            .is_err()
        {
            return;
        }
    }
}

fn perform(file: &File, action: &Action) -> io::Result<()> {
    match action {
        Action::Read { offset, into } => {
            let vector = [vector(into)];
            // SAFETY: the vector names memory that the operation's maker keeps for it.
            let moved =
                unsafe { libc::preadv(file.as_raw_fd(), vector.as_ptr(), 1, *offset as i64) };
            moved_all(moved, into.bytes())
        }
        Action::Write { offset, pieces } => {
            let vectors: Vec<libc::iovec> = pieces.iter().map(vector).collect();
            let count = vectors.len() as i32;
            // SAFETY: as above.
            let moved =
                unsafe { libc::pwritev(file.as_raw_fd(), vectors.as_ptr(), count, *offset as i64) };
            moved_all(moved, pieces.iter().map(Span::bytes).sum())
        }
        Action::Sync => file.sync_data(),
    }
}

fn vector(span: &Span) -> libc::iovec {
    libc::iovec {
        iov_base: span.start().cast(),
        iov_len: span.bytes(),
    }
}

fn moved_all(moved: isize, asked: usize) -> io::Result<()> {
    match usize::try_from(moved) {
        Ok(moved) => whole(moved, asked),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
