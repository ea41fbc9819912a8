use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::stream::{Family, SocketOptions, Stream};

/// A nonblocking listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpListener),
    /// A Unix stream socket and the path it is bound to, removed when this is dropped.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens at a TCP address; port 0 takes any.
    ///
    /// # Errors
    /// The address is not this machine's, or in use.
    pub fn bind_tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(listener))
    }

    /// Listens at a path. A socket left there by a process that is gone is replaced; one that
    /// somebody listens on, and anything that is no socket, is not.
    ///
    /// # Errors
    /// The path is in use, cannot be written, or is too long for a socket.
    pub fn bind_unix(path: &Path) -> io::Result<Self> {
        if let Ok(metadata) = fs::symlink_metadata(path)
            && metadata.file_type().is_socket()
            && UnixStream::connect(path).is_err()
        {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(listener, path.to_owned()))
    }

    /// The next waiting connection; `None` when there is none now.
    ///
    /// # Errors
    /// What the kernel says, for example that no descriptors are left. A connection that was
    /// reset while it waited is passed over.
    pub fn accept(&self, options: &SocketOptions) -> io::Result<Option<Stream>> {
        loop {
            let accepted: io::Result<(OwnedFd, Family)> = match self {
                Self::Tcp(listener) => listener
                    .accept()
                    .map(|(stream, _)| (stream.into(), Family::Tcp)),
                Self::Unix(listener, _) => listener
                    .accept()
                    .map(|(stream, _)| (stream.into(), Family::Unix)),
            };
            match accepted {
                Ok((descriptor, family)) => {
                    return Stream::from_descriptor(descriptor, family, options).map(Some);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// The TCP address that it is bound to; `None` for a Unix socket.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener, _) => listener.as_raw_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Somebody may have removed it already; nothing is left to do then.
            let _ = fs::remove_file(path);
        }
    }
}
