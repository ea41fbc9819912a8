use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use crate::EngineError;

/// The payload memory: one address range, extent after extent, each a memory file of its own.
///
/// One range, so that one registration with a network card covers it; one file for each extent,
/// so that a client can be shown its tenant's extents and no others.
#[derive(Debug)]
pub(crate) struct Arena {
    /// What was reserved, including the bytes before `base` that align it.
    reserved: NonNull<u8>,
    reserved_bytes: usize,
    base: NonNull<u8>,
    extent_bytes: usize,
    prefault: bool,
    huge_pages: bool,
}

// SAFETY: the arena only maps and hands out addresses; who may touch which bytes is decided by
// the engine's lock (a slot has one writer, or readers that pin it).
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves addresses for `extents` extents; none is mapped yet.
    pub(crate) fn reserve(
        extents: u32,
        extent_bytes: u64,
        prefault: bool,
        huge_pages: bool,
    ) -> Result<Self, EngineError> {
        let bytes = u64::from(extents) * extent_bytes;
        let reserved_bytes = (bytes + extent_bytes) as usize;
        // SAFETY: a fresh mapping without access, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                reserved_bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        let reserved = NonNull::new(start.cast::<u8>())
            .filter(|_| start != libc::MAP_FAILED)
            .ok_or_else(|| EngineError::Reserve {
                bytes,
                source: io::Error::last_os_error(),
            })?;
        let align = reserved.as_ptr().align_offset(extent_bytes as usize);
        // SAFETY: less than one extent further, which was reserved on top.
        let base = unsafe { reserved.add(align) };
        Ok(Self {
            reserved,
            reserved_bytes,
            base,
            extent_bytes: extent_bytes as usize,
            prefault,
            huge_pages,
        })
    }

    /// Bytes of one extent.
    pub(crate) fn extent_bytes(&self) -> u64 {
        self.extent_bytes as u64
    }

    /// First byte of the first extent.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// First byte of an extent.
    #[inline]
    pub(crate) fn extent_ptr(&self, extent: u32) -> *mut u8 {
        // SAFETY: extents are numbered below the number that the range was reserved for.
        unsafe { self.base.as_ptr().add(extent as usize * self.extent_bytes) }
    }

    /// Puts a fresh, zeroed memory file behind an extent, replacing what was there.
    ///
    /// The file is sealed: its size is fixed, and whoever gets it can map it for reading only.
    /// Nobody may use the extent's bytes meanwhile.
    pub(crate) fn install(&self, extent: u32) -> Result<OwnedFd, EngineError> {
        let fail = |step, source| EngineError::Extent {
            extent,
            bytes: self.extent_bytes as u64,
            step,
            source,
        };
        let file = memory_file().map_err(|error| fail("create the memory file of", error))?;
        // SAFETY: a descriptor of our own.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), self.extent_bytes as libc::off_t) })
            .map_err(|error| fail("size", error))?;
        // SAFETY: replaces pages of our own reservation that nobody uses.
        let mapped = unsafe {
            libc::mmap(
                self.extent_ptr(extent).cast(),
                self.extent_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(fail("map", io::Error::last_os_error()));
        }
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_FUTURE_WRITE;
        // SAFETY: a descriptor of our own; seals do not touch the mapping made before.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })
            .map_err(|error| fail("seal", error))?;
        self.populate(extent)
            .map_err(|error| fail("prefault", error))?;
        Ok(file)
    }

    fn populate(&self, extent: u32) -> io::Result<()> {
        let start = self.extent_ptr(extent).cast();
        if self.huge_pages {
            // SAFETY: a range that we mapped. Advice: a refusal changes nothing but speed.
            unsafe { libc::madvise(start, self.extent_bytes, libc::MADV_HUGEPAGE) };
        }
        if self.prefault {
            // SAFETY: a range that we mapped writable; populating changes no byte.
            check(unsafe { libc::madvise(start, self.extent_bytes, libc::MADV_POPULATE_WRITE) })?;
        }
        Ok(())
    }

    /// Overwrites an extent's bytes with zeros. Nobody may use them meanwhile.
    pub(crate) fn zero(&self, extent: u32) {
        // SAFETY: the extent is mapped writable and the caller keeps everybody else away.
        unsafe { ptr::write_bytes(self.extent_ptr(extent), 0, self.extent_bytes) };
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: reserved in `reserve` with this size; extents were mapped inside of it; every
        // handle to bytes keeps the arena alive.
        unsafe { libc::munmap(self.reserved.as_ptr().cast(), self.reserved_bytes) };
    }
}

fn memory_file() -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a static string that ends with zero.
    let file = unsafe { libc::memfd_create(c"holdfast-extent".as_ptr(), flags) };
    check(file)?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
