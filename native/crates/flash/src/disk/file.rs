use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::FlashError;

/// An opened file or block device.
#[derive(Debug)]
pub struct DiskFile {
    /// The file.
    pub file: File,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Whether reads and writes pass the page cache by; not every file system can.
    pub direct: bool,
}

/// Opens a block device, or a file, which is created and given `bytes` of room at once.
///
/// # Errors
/// The kernel refuses; [`FlashError::NoSpace`] when the file system is full.
pub fn open_file(path: &Path, bytes: u64) -> Result<DiskFile, FlashError> {
    let refused = |step, source| FlashError::File {
        path: path.to_owned(),
        step,
        source,
    };
    let (mut file, direct) = match open(path, libc::O_DIRECT) {
        Ok(file) => (file, true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (
            open(path, 0).map_err(|source| refused("open", source))?,
            false,
        ),
        Err(source) => return Err(refused("open", source)),
    };
    let kind = file
        .metadata()
        .map_err(|source| refused("look at", source))?;
    if kind.file_type().is_file() && kind.len() < bytes {
        allocate(&file, bytes).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => FlashError::NoSpace {
                path: path.to_owned(),
                bytes,
                source,
            },
            _ => refused("allocate room for", source),
        })?;
    }
    if !kind.file_type().is_file() && !kind.file_type().is_block_device() {
        let source = io::Error::other("it is neither a file nor a block device");
        return Err(refused("use", source));
    }
    let size_bytes = file
        .seek(SeekFrom::End(0))
        .map_err(|source| refused("find the size of", source))?;
    Ok(DiskFile {
        file,
        size_bytes,
        direct,
    })
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: a call on an open descriptor.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
