//! Keys as Python gives them, block ids and checksums.

use holdfast_client::Keys;
use holdfast_wire::SpaceKey;
use holdfast_wire::checksum;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

/// Bytes that stay where they are while the Python object is held.
#[derive(Clone, Copy)]
struct Span {
    address: *const u8,
    bytes: usize,
}

// SAFETY: the span is only read, while the object that owns the memory is held.
unsafe impl Send for Span {}
// SAFETY: as above.
unsafe impl Sync for Span {}

impl Span {
    /// # Safety
    /// The object that owns the memory must be held as long as the slice is used.
    unsafe fn slice<'a>(self) -> &'a [u8] {
        if self.bytes == 0 {
            return &[];
        }
        // SAFETY: the caller holds the owner; readers only, as this function's contract says.
        unsafe { std::slice::from_raw_parts(self.address, self.bytes) }
    }
}

/// Keys of a call, with whatever holds their memory.
pub enum HeldKeys<'py> {
    /// `uint8[n, key_bytes]`.
    Packed {
        /// Holds the memory.
        buffer: PyUntypedBuffer,
        /// Bytes of one key.
        key_bytes: usize,
    },
    /// Python's own bytes objects.
    List(Vec<Bound<'py, PyBytes>>),
}

impl<'py> HeldKeys<'py> {
    /// Takes a C-contiguous `uint8[n, key_bytes]` buffer, or a sequence of bytes.
    pub fn take(keys: &Bound<'py, PyAny>) -> PyResult<Self> {
        if keys.is_instance_of::<PyList>() || keys.is_instance_of::<PyTuple>() {
            return Self::take_sequence(keys);
        }
        match PyUntypedBuffer::get(keys) {
            Ok(buffer) => Self::take_buffer(buffer),
            Err(_) => Self::take_sequence(keys),
        }
    }

    fn take_buffer(buffer: PyUntypedBuffer) -> PyResult<Self> {
        if buffer.dimensions() != 2 || buffer.item_size() != 1 || !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err(format!(
                "packed keys must be a C-contiguous uint8 array of 2 dimensions (keys, bytes of \
                 a key), not {} dimensions of {}-byte items",
                buffer.dimensions(),
                buffer.item_size()
            )));
        }
        let key_bytes = buffer.shape()[1];
        if key_bytes == 0 && buffer.shape()[0] > 0 {
            return Err(PyValueError::new_err(
                "keys of 0 bytes: give each at least 1",
            ));
        }
        Ok(Self::Packed { buffer, key_bytes })
    }

    fn take_sequence(keys: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut list = Vec::with_capacity(keys.len().unwrap_or(0));
        for key in keys.try_iter()? {
            let key = key?;
            let bytes = key.cast_into::<PyBytes>().map_err(|error| {
                PyTypeError::new_err(format!(
                    "keys must be bytes or a uint8[n, key_bytes] array: {error}"
                ))
            })?;
            list.push(bytes);
        }
        Ok(Self::List(list))
    }

    /// Runs `work` on the keys without the interpreter.
    pub fn detached<T: Send>(&self, py: Python<'py>, work: impl FnOnce(Keys<'_>) -> T + Send) -> T {
        match self {
            Self::Packed { buffer, key_bytes } => {
                let span = Span {
                    address: buffer.buf_ptr() as *const u8,
                    bytes: buffer.len_bytes(),
                };
                let key_bytes = (*key_bytes).max(1);
                py.detach(move || {
                    let span = span;
                    // SAFETY: `self` holds the buffer until this returns.
                    let bytes = unsafe { span.slice() };
                    work(Keys::Packed { bytes, key_bytes })
                })
            }
            Self::List(keys) => {
                // Immutable bytes of objects that `self` holds.
                let list: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
                py.detach(|| work(Keys::List(&list)))
            }
        }
    }
}

/// 16 bytes of id a key, concatenated.
#[pyfunction]
pub fn block_ids<'py>(
    py: Python<'py>,
    cluster: &[u8],
    tenant: u32,
    space: u32,
    keys: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let key = SpaceKey::new(&sixteen("cluster", cluster)?, tenant, space);
    let keys = HeldKeys::take(keys)?;
    let ids = keys.detached(py, |keys| keys.ids(&key));
    Ok(PyBytes::new(py, ids.as_flattened()))
}

/// CRC-32C (Castagnoli) of a C-contiguous buffer.
#[pyfunction]
pub fn crc32c(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<u32> {
    let buffer = PyUntypedBuffer::get(data)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not C-contiguous"));
    }
    let span = Span {
        address: buffer.buf_ptr() as *const u8,
        bytes: buffer.len_bytes(),
    };
    Ok(py.detach(move || {
        let span = span;
        // SAFETY: `buffer` is held until this returns.
        checksum::crc32c(unsafe { span.slice() })
    }))
}

/// Exactly 16 bytes.
pub fn sixteen(what: &str, bytes: &[u8]) -> PyResult<[u8; 16]> {
    bytes.try_into().map_err(|_| {
        PyValueError::new_err(format!("{what} has {} bytes, it must have 16", bytes.len()))
    })
}
