use std::ffi::CStr;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use crate::stream::check;

/// Memory behind a descriptor (`memfd_create`), to be shared with another process.
#[derive(Debug)]
pub struct MemoryFile {
    descriptor: OwnedFd,
    bytes: u64,
}

impl MemoryFile {
    /// Makes a memory file of `bytes` zeroes whose size can still change.
    ///
    /// # Errors
    /// The kernel refuses the memory or the descriptor.
    pub fn create(name: &CStr, bytes: u64) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name ends with a zero; the descriptor it returns is owned by nobody else.
        let descriptor =
            unsafe { OwnedFd::from_raw_fd(check(libc::memfd_create(name.as_ptr(), flags))?) };
        let length = libc::off_t::try_from(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "memory file too large"))?;
        // SAFETY: a plain call on a descriptor that this value owns.
        check(unsafe { libc::ftruncate(descriptor.as_raw_fd(), length) })?;
        Ok(Self { descriptor, bytes })
    }

    /// Fixes the size for good, so that whoever maps it is safe from SIGBUS.
    ///
    /// # Errors
    /// The kernel refuses the seals.
    pub fn seal_size(&self) -> io::Result<()> {
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: a plain call on a descriptor that this value owns.
        check(unsafe { libc::fcntl(self.descriptor.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        Ok(())
    }

    /// Its size, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the descriptor out.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A shared mapping of a memory file, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is plain memory at a fixed address; it grants no access by itself, who
// dereferences its address answers for races with the other process.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` bytes for reading.
    ///
    /// # Errors
    /// `bytes` is 0, or the kernel refuses.
    pub fn read_only(descriptor: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        Self::map(descriptor, bytes, libc::PROT_READ)
    }

    /// Maps the first `bytes` bytes for reading and writing.
    ///
    /// # Errors
    /// `bytes` is 0, or the kernel refuses.
    pub fn writable(descriptor: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        Self::map(descriptor, bytes, libc::PROT_READ | libc::PROT_WRITE)
    }

    fn map(descriptor: BorrowedFd<'_>, bytes: usize, protection: libc::c_int) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast())
            .ok_or_else(|| io::Error::other("the kernel mapped at address 0"))?;
        Ok(Self { address, bytes })
    }

    /// First byte. Other processes may change what lies there at any moment.
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Size, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and nobody uses it past its life.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.bytes) };
    }
}

/// How memory behind a stranger's descriptor can be read safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionKind {
    /// A memory file that cannot shrink: mapping it cannot raise SIGBUS.
    Sealed,
    /// A file of this machine's memory or disks: `pread` returns short where it ends.
    Readable,
    /// A pipe, a device, or a file whose reads another process or machine could hold up.
    Foreign,
}

/// Classifies a descriptor that another process sent, and tells its size in bytes.
///
/// # Errors
/// The kernel cannot say.
pub fn classify_region(descriptor: BorrowedFd<'_>) -> io::Result<(RegionKind, u64)> {
    // SAFETY: both structures are plain data, filled in by the calls below.
    let (mut stat, mut system): (libc::stat, libc::statfs) = unsafe { (zeroed(), zeroed()) };
    let raw = descriptor.as_raw_fd();
    // SAFETY: the structures are owned by this frame.
    unsafe {
        check(libc::fstat(raw, &raw mut stat))?;
        check(libc::fstatfs(raw, &raw mut system))?;
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Ok((RegionKind::Foreign, bytes));
    }
    // SAFETY: a plain call on an open descriptor; files that know no seals answer an error.
    let seals = unsafe { libc::fcntl(raw, libc::F_GET_SEALS) };
    let sealed = seals >= 0 && seals & libc::F_SEAL_SHRINK != 0;
    // A huge page that cannot be had raises SIGBUS as well, so those files are read.
    let kind = match system.f_type {
        libc::TMPFS_MAGIC if sealed => RegionKind::Sealed,
        libc::TMPFS_MAGIC
        | libc::HUGETLBFS_MAGIC
        | libc::EXT4_SUPER_MAGIC
        | libc::XFS_SUPER_MAGIC
        | libc::BTRFS_SUPER_MAGIC
        | libc::OVERLAYFS_SUPER_MAGIC => RegionKind::Readable,
        _ => RegionKind::Foreign,
    };
    Ok((kind, bytes))
}

/// Reads at `offset` of a file; short only where the file ends.
///
/// # Errors
/// What the kernel says.
pub fn read_at(descriptor: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        let position = libc::off_t::try_from(offset + done as u64)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "offset too large"))?;
        // SAFETY: the rest of the buffer is borrowed for the call.
        let read = unsafe {
            libc::pread(
                descriptor.as_raw_fd(),
                rest.as_mut_ptr().cast(),
                rest.len(),
                position,
            )
        };
        match read {
            0 => break,
            1.. => done += read as usize,
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(done)
}
