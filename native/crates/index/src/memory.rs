use std::io;
use std::ptr::{self, NonNull};

/// Pages that the kernel is asked for where much memory lies together, bytes.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Ordinary pages, bytes.
const PAGE_BYTES: usize = 4096;

/// Anonymous zeroed memory, reserved at once and resident only where it was touched.
///
/// For tables that grow in place: addresses stay, untouched pages cost nothing.
#[derive(Debug)]
pub struct AnonymousMap {
    start: NonNull<u8>,
    bytes: usize,
    huge_pages: bool,
}

// SAFETY: the map is plain memory owned by this value; access goes through its owner's borrow.
unsafe impl Send for AnonymousMap {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for AnonymousMap {}

impl AnonymousMap {
    /// Reserves `bytes` (at least 1), asking for huge pages when told to.
    ///
    /// # Errors
    /// What the kernel said when it refused.
    pub fn new(bytes: usize, huge_pages: bool) -> io::Result<Self> {
        // SAFETY: a fresh private mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        if huge_pages {
            // SAFETY: the range was just mapped. Advice: a refusal changes nothing but speed.
            unsafe { libc::madvise(start, bytes, libc::MADV_HUGEPAGE) };
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            start,
            bytes,
            huge_pages,
        })
    }

    /// Makes the first `bytes` resident now, as far as the kernel will.
    pub fn populate(&self, bytes: usize) {
        assert!(bytes <= self.bytes, "populating beyond the mapping");
        // SAFETY: a range of our own mapping; populating changes no byte. A refusal only means
        // that pages are made when they are touched.
        unsafe { libc::madvise(self.start.as_ptr().cast(), bytes, libc::MADV_POPULATE_WRITE) };
    }

    /// First byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Unit in which memory becomes resident, bytes; the larger when in doubt.
    pub fn page_bytes(&self) -> usize {
        if self.huge_pages {
            HUGE_PAGE_BYTES
        } else {
            PAGE_BYTES
        }
    }

    /// First byte, as a bare pointer.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for AnonymousMap {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this size and owned by this value alone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Asks the processor to fetch the cache line of `address` for reading.
#[inline]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
