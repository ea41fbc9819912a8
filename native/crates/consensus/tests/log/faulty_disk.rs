//! A disk whose power can fail: it knows what was synced, and tears and reorders the rest.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission, WriteExt};

type RealHandle = <DefaultFileSystem as FileSystem>::Handle;
type RealReader = <DefaultFileSystem as FileSystem>::Reader;
type RealWriter = <DefaultFileSystem as FileSystem>::Writer;

/// Bytes that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize { to: usize },
}

#[derive(Clone, Default)]
struct FileState {
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Default)]
struct Disk {
    files: BTreeMap<PathBuf, FileState>,
    operations: u64,
    cut_at: Option<u64>,
    /// The disk as it was when the power failed.
    image: Option<BTreeMap<PathBuf, FileState>>,
    sync_fails: bool,
    full: bool,
}

/// raft-engine's file system with a power switch.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<Disk>>);

impl FaultyDisk {
    /// The power fails before the n-th write, resize or sync from now; the run goes on, but its
    /// image is kept.
    pub fn cut_power_after(&self, operations: u64) {
        let mut disk = self.0.lock().expect("disk");
        disk.cut_at = Some(disk.operations + operations);
        disk.image = None;
    }

    pub fn is_cut(&self) -> bool {
        self.0.lock().expect("disk").image.is_some()
    }

    pub fn fail_syncs(&self, fail: bool) {
        self.0.lock().expect("disk").sync_fails = fail;
    }

    pub fn fill(&self, full: bool) {
        self.0.lock().expect("disk").full = full;
    }

    /// Writes what the disk holds after the power failure: everything synced, and of the rest each
    /// sector as `keeps` decides.
    pub fn restore(&self, into: &Path, mut keeps: impl FnMut() -> bool) {
        let disk = self.0.lock().expect("disk");
        let image = disk.image.as_ref().unwrap_or(&disk.files);
        for (path, file) in image {
            let mut content = file.synced.clone();
            for change in &file.unsynced {
                apply(&mut content, change, &mut keeps);
            }
            let name = path.file_name().expect("a file in the log's directory");
            fs::write(into.join(name), content).expect("restored file");
        }
    }

    fn operation(&self) -> std::sync::MutexGuard<'_, Disk> {
        let mut disk = self.0.lock().expect("disk");
        if disk.cut_at == Some(disk.operations) {
            disk.image = Some(disk.files.clone());
        }
        disk.operations += 1;
        disk
    }

    fn change(&self, path: &Path, change: Change) {
        let mut disk = self.operation();
        let file = disk.files.entry(path.to_path_buf()).or_default();
        file.unsynced.push(change);
    }
}

fn apply(content: &mut Vec<u8>, change: &Change, keeps: &mut impl FnMut() -> bool) {
    match change {
        Change::Resize { to } if keeps() => content.resize(*to, 0),
        Change::Resize { .. } => {}
        Change::Write { at, bytes } => {
            let mut at = *at;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, after) =
                    rest.split_at(rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
                if keeps() {
                    content.resize(content.len().max(at + piece.len()), 0);
                    content[at..at + piece.len()].copy_from_slice(piece);
                }
                at += piece.len();
                rest = after;
            }
        }
    }
}

pub struct FaultyHandle {
    real: Arc<RealHandle>,
    path: PathBuf,
    disk: FaultyDisk,
}

impl Handle for FaultyHandle {
    fn truncate(&self, offset: usize) -> Result<()> {
        self.disk.change(&self.path, Change::Resize { to: offset });
        self.real.truncate(offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.real.file_size()
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.disk.operation();
        if disk.sync_fails {
            return Err(Error::other("injected: the disk did not sync"));
        }
        let file = disk.files.entry(self.path.clone()).or_default();
        for change in std::mem::take(&mut file.unsynced) {
            apply(&mut file.synced, &change, &mut || true);
        }
        Ok(())
    }
}

pub struct FaultyWriter {
    real: RealWriter,
    path: PathBuf,
    at: usize,
    disk: FaultyDisk,
}

impl Write for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.disk.0.lock().expect("disk").full {
            return Err(Error::other("injected: no space left"));
        }
        let change = Change::Write {
            at: self.at,
            bytes: bytes.to_vec(),
        };
        self.disk.change(&self.path, change);
        self.real.write_all(bytes)?;
        self.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.real.flush()
    }
}

impl Seek for FaultyWriter {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        let at = self.real.seek(position)?;
        self.at = at as usize;
        Ok(at)
    }
}

impl WriteExt for FaultyWriter {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.disk.change(&self.path, Change::Resize { to: offset });
        self.at = offset;
        self.real.truncate(offset)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        self.disk
            .change(&self.path, Change::Resize { to: offset + size });
        self.real.allocate(offset, size)
    }
}

pub struct FaultyReader(RealReader);

impl Read for FaultyReader {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        self.0.read(into)
    }
}

impl Seek for FaultyReader {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        self.0.seek(position)
    }
}

impl FileSystem for FaultyDisk {
    type Handle = FaultyHandle;
    type Reader = FaultyReader;
    type Writer = FaultyWriter;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<FaultyHandle> {
        let path = path.as_ref().to_path_buf();
        self.operation()
            .files
            .insert(path.clone(), FileState::default());
        Ok(FaultyHandle {
            real: Arc::new(DefaultFileSystem.create(&path)?),
            path,
            disk: self.clone(),
        })
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<FaultyHandle> {
        let path = path.as_ref().to_path_buf();
        let mut disk = self.operation();
        if !disk.files.contains_key(&path) {
            let synced = fs::read(&path)?;
            let unsynced = Vec::new();
            disk.files
                .insert(path.clone(), FileState { synced, unsynced });
        }
        Ok(FaultyHandle {
            real: Arc::new(DefaultFileSystem.open(&path, permission)?),
            path,
            disk: self.clone(),
        })
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        self.operation().files.remove(path.as_ref());
        DefaultFileSystem.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        let mut disk = self.operation();
        let file = disk.files.remove(from.as_ref()).unwrap_or_default();
        disk.files.insert(to.as_ref().to_path_buf(), file);
        DefaultFileSystem.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<FaultyHandle>) -> Result<FaultyReader> {
        DefaultFileSystem
            .new_reader(handle.real.clone())
            .map(FaultyReader)
    }

    fn new_writer(&self, handle: Arc<FaultyHandle>) -> Result<FaultyWriter> {
        Ok(FaultyWriter {
            real: DefaultFileSystem.new_writer(handle.real.clone())?,
            path: handle.path.clone(),
            at: 0,
            disk: self.clone(),
        })
    }
}
