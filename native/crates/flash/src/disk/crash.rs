use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Action, Completion, Disk, Operation, Span};
use crate::layout::PAGE_BYTES;

/// Unit that a power failure leaves whole, bytes.
const SECTOR_BYTES: usize = 512;

/// Faults that a [`CrashDisk`] is told to have.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Reads that touch one of these bytes of the disk fail.
    pub unreadable: Vec<u64>,
    /// So many of the next writes fail.
    pub writes_failing: u32,
    /// They fail for want of space rather than for an error of the device.
    pub out_of_space: bool,
    /// So many of the next syncs fail.
    pub syncs_failing: u32,
    /// After so many more operations the power is off: nothing completes any more.
    pub operations_left: Option<u64>,
    /// Completions come late and in any order.
    pub slow: bool,
    /// Completions are held back altogether.
    pub stalled: bool,
}

/// A disk in memory that forgets what was not synced when [`CrashImage::crash`] says so.
///
/// Pages of zeros take no memory. Everything random follows from the seed.
pub struct CrashDisk {
    image: CrashImage,
    life: u64,
    signal: Arc<Signal>,
    pending: Vec<Pending>,
}

/// The memory behind a [`CrashDisk`], for whoever crashes it and opens it again.
#[derive(Clone)]
pub struct CrashImage(Arc<Mutex<Image>>);

struct Image {
    size_bytes: u64,
    /// As a reader sees them.
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    /// Writes that no sync has covered yet, oldest first.
    unsynced: Vec<Unsynced>,
    writes: u64,
    faults: Faults,
    random: u64,
    /// Grows with each crash; disks made before it are dead.
    life: u64,
}

/// What a crash may bring back of one write.
struct Unsynced {
    write: u64,
    /// Whether its completion was returned: a sync covers no other.
    completed: bool,
    /// Sectors as they were before.
    before: Vec<Sector>,
}

type Sector = (u64, Box<[u8; SECTOR_BYTES]>);

struct Pending {
    token: u64,
    read: Option<Span>,
    /// Number of the write, if it is one that was done.
    write: Option<u64>,
    result: io::Result<Vec<u8>>,
}

struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_all();
    }
}

impl Image {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn read_sector(&self, sector: u64) -> Box<[u8; SECTOR_BYTES]> {
        let mut out = Box::new([0; SECTOR_BYTES]);
        let at = sector * SECTOR_BYTES as u64;
        if let Some(page) = self.pages.get(&(at / PAGE_BYTES as u64)) {
            let from = at as usize % PAGE_BYTES;
            out.copy_from_slice(&page[from..from + SECTOR_BYTES]);
        }
        out
    }

    fn write_sector(&mut self, sector: u64, bytes: &[u8]) {
        let at = sector * SECTOR_BYTES as u64;
        let (number, from) = (at / PAGE_BYTES as u64, at as usize % PAGE_BYTES);
        let zeros = || Box::new([0; PAGE_BYTES]);
        let page = self.pages.entry(number).or_insert_with(zeros);
        page[from..from + SECTOR_BYTES].copy_from_slice(bytes);
    }

    /// Writes whole pages from `offset` on, and forgets those that are all zeros.
    fn write(&mut self, offset: u64, pieces: &[Span]) {
        let mut at = offset;
        let mut before = Vec::new();
        for piece in pieces {
            // SAFETY: the operation's maker keeps the memory until the completion.
            let bytes = unsafe { std::slice::from_raw_parts(piece.start(), piece.bytes()) };
            for page in bytes.chunks_exact(PAGE_BYTES) {
                self.write_page(at / PAGE_BYTES as u64, page, &mut before);
                at += PAGE_BYTES as u64;
            }
        }
        self.writes += 1;
        self.unsynced.push(Unsynced {
            write: self.writes,
            completed: false,
            before,
        });
    }

    fn write_page(&mut self, number: u64, bytes: &[u8], before: &mut Vec<Sector>) {
        let empty = bytes.iter().all(|&byte| byte == 0);
        if empty && !self.pages.contains_key(&number) {
            return;
        }
        let sectors = (PAGE_BYTES / SECTOR_BYTES) as u64;
        for sector in number * sectors..(number + 1) * sectors {
            before.push((sector, self.read_sector(sector)));
        }
        if empty {
            self.pages.remove(&number);
            return;
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        page.copy_from_slice(bytes);
        self.pages.insert(number, page);
    }

    fn read(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let range = offset..offset + bytes as u64;
        if self.faults.unreadable.iter().any(|at| range.contains(at)) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let mut out = vec![0; bytes];
        for (chunk, number) in out
            .chunks_exact_mut(PAGE_BYTES)
            .zip(offset / PAGE_BYTES as u64..)
        {
            if let Some(page) = self.pages.get(&number) {
                chunk.copy_from_slice(&page[..]);
            }
        }
        Ok(out)
    }

    fn complete(&mut self, number: u64) {
        for write in &mut self.unsynced {
            write.completed |= write.write == number;
        }
    }

    fn perform(&mut self, action: &Action) -> io::Result<Vec<u8>> {
        match action {
            Action::Read { offset, into } => self.read(*offset, into.bytes()),
            Action::Write { offset, pieces } => {
                if self.faults.writes_failing > 0 {
                    self.faults.writes_failing -= 1;
                    let code = if self.faults.out_of_space {
                        libc::ENOSPC
                    } else {
                        libc::EIO
                    };
                    return Err(io::Error::from_raw_os_error(code));
                }
                self.write(*offset, pieces);
                Ok(Vec::new())
            }
            Action::Sync => {
                if self.faults.syncs_failing > 0 {
                    self.faults.syncs_failing -= 1;
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
                self.unsynced.retain(|write| !write.completed);
                Ok(Vec::new())
            }
        }
    }
}

impl CrashImage {
    /// An empty disk of this size.
    #[must_use]
    pub fn new(size_bytes: u64, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Image {
            size_bytes,
            pages: BTreeMap::new(),
            unsynced: Vec::new(),
            writes: 0,
            faults: Faults::default(),
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            life: 0,
        })))
    }

    /// A disk on this memory; those made before the last crash do nothing any more.
    #[must_use]
    pub fn disk(&self) -> CrashDisk {
        CrashDisk {
            image: self.clone(),
            life: self.0.lock().life,
            signal: Arc::new(Signal {
                woken: Mutex::new(false),
                changed: Condvar::new(),
            }),
            pending: Vec::new(),
        }
    }

    /// Changes the faults.
    pub fn with_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().faults);
    }

    /// Whether the power went off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.lock().faults.operations_left == Some(0)
    }

    /// The power fails: of what was written since the last sync any sectors stay and any are as
    /// they were. All faults end, and disks made before are dead.
    pub fn crash(&self, seed: u64) {
        let mut image = self.0.lock();
        image.random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let unsynced = std::mem::take(&mut image.unsynced);
        // From the last write to the first: what an earlier one brings back is older.
        for write in unsynced.into_iter().rev() {
            let fate = image.next() % 3;
            for (sector, before) in write.before {
                let lost = match fate {
                    0 => false,
                    1 => true,
                    _ => image.next().is_multiple_of(2),
                };
                if lost {
                    image.write_sector(sector, &before[..]);
                }
            }
        }
        image.faults = Faults::default();
        image.life += 1;
    }

    /// Changes a byte of the disk, as if it had rotted.
    pub fn flip(&self, offset: u64) {
        let mut image = self.0.lock();
        let sector = offset / SECTOR_BYTES as u64;
        let mut bytes = image.read_sector(sector);
        bytes[offset as usize % SECTOR_BYTES] ^= 0x55;
        image.write_sector(sector, &bytes[..]);
    }

    /// Memory that the pages take, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        (self.0.lock().pages.len() * PAGE_BYTES) as u64
    }
}

impl Disk for CrashDisk {
    fn size_bytes(&self) -> u64 {
        self.image.0.lock().size_bytes
    }

    fn submit(&mut self, operations: &mut VecDeque<Operation>) -> io::Result<()> {
        let mut image = self.image.0.lock();
        for operation in operations.drain(..) {
            if image.life != self.life {
                continue;
            }
            match &mut image.faults.operations_left {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            let read = match &operation.action {
                Action::Read { into, .. } => Some(*into),
                _ => None,
            };
            let result = image.perform(&operation.action);
            let written = matches!(operation.action, Action::Write { .. }) && result.is_ok();
            self.pending.push(Pending {
                token: operation.token,
                read,
                write: written.then_some(image.writes),
                result,
            });
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        if self.pending.is_empty() || self.image.0.lock().faults.stalled {
            let mut woken = self.signal.woken.lock();
            if !*woken {
                self.signal.changed.wait_for(&mut woken, timeout);
            }
            *woken = false;
            if self.image.0.lock().faults.stalled {
                return Ok(());
            }
        }
        let mut image = self.image.0.lock();
        let count = self.pending.len();
        let ended = if image.faults.slow && count > 0 {
            1 + image.next() as usize % count
        } else {
            count
        };
        for _ in 0..ended {
            let place = if image.faults.slow {
                image.next() as usize % self.pending.len()
            } else {
                0
            };
            let pending = self.pending.remove(place);
            if let Some(number) = pending.write {
                image.complete(number);
            }
            completions.push(pending.complete());
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.signal))
    }
}

impl Pending {
    fn complete(self) -> Completion {
        let result = self.result.map(|bytes| {
            if let Some(into) = self.read {
                // SAFETY: the operation's maker keeps the memory, as large as was read, until
                // this completion is returned.
                unsafe {
                    into.start()
                        .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
                };
            }
        });
        Completion {
            token: self.token,
            result,
        }
    }
}
