/// Most pieces that one vectored call takes (Linux's `UIO_MAXIOV`).
pub const IO_VECTORS_MAX: usize = 1024;

/// One contiguous piece of memory in a vectored call, laid out as the kernel's `iovec`.
///
/// It borrows nothing: who makes one from raw memory says how long that memory stays.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct IoVector {
    raw: libc::iovec,
}

// SAFETY: it is an address and a length; whoever dereferences it answers for the memory.
unsafe impl Send for IoVector {}
// SAFETY: as above.
unsafe impl Sync for IoVector {}

impl IoVector {
    /// A piece of `bytes` bytes at `address`.
    #[must_use]
    pub fn new(address: *const u8, bytes: usize) -> Self {
        Self {
            raw: libc::iovec {
                iov_base: address.cast_mut().cast(),
                iov_len: bytes,
            },
        }
    }

    /// The bytes of a slice, to be written from.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::new(bytes.as_ptr(), bytes.len())
    }

    /// The bytes of a slice, to be read into.
    #[must_use]
    pub fn of_mut(bytes: &mut [u8]) -> Self {
        Self::new(bytes.as_mut_ptr(), bytes.len())
    }

    /// Bytes of the piece.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.iov_len
    }

    /// First byte of the piece.
    #[must_use]
    pub fn address(&self) -> *mut u8 {
        self.raw.iov_base.cast()
    }
}
