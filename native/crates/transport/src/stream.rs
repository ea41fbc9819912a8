use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::descriptors;
use crate::io_vector::{IO_VECTORS_MAX, IoVector};

/// What a stream runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// A Unix stream socket, which can carry descriptors.
    Unix,
}

/// Kernel buffers of a socket. `None` leaves the kernel's own sizing, which on TCP adapts.
#[derive(Debug, Clone, Copy, Default)]
pub struct SocketOptions {
    /// Send buffer, bytes.
    pub send_buffer_bytes: Option<u32>,
    /// Receive buffer, bytes.
    pub receive_buffer_bytes: Option<u32>,
}

/// A nonblocking stream connection. Every call returns at once; `WouldBlock` says try later.
#[derive(Debug)]
pub struct Stream {
    descriptor: OwnedFd,
    family: Family,
}

impl Stream {
    /// Begins to connect; once the stream is writable [`Stream::connect_result`] tells the end.
    ///
    /// # Errors
    /// The kernel refuses the socket or the address at once.
    pub fn connect_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<Self> {
        let domain = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let descriptor = socket(domain)?;
        // SAFETY: sockaddr_storage is plain data for which all zeroes is a valid value.
        let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
        let bytes = encode_address(address, &mut storage);
        let stream = Self::from_descriptor(descriptor, Family::Tcp, options)?;
        stream.connect(&storage, bytes)?;
        Ok(stream)
    }

    /// Connects to a Unix socket; the end is known at once, or the listener's queue is full
    /// (`WouldBlock`: the connection is not made, try a new one later).
    ///
    /// # Errors
    /// The path is too long for a socket, nobody listens there, or the kernel refuses.
    pub fn connect_unix(path: &Path, options: &SocketOptions) -> io::Result<Self> {
        let descriptor = socket(libc::AF_UNIX)?;
        // SAFETY: sockaddr_storage is plain data for which all zeroes is a valid value.
        let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
        let bytes = encode_path(path, &mut storage)?;
        let stream = Self::from_descriptor(descriptor, Family::Unix, options)?;
        stream.connect(&storage, bytes)?;
        Ok(stream)
    }

    /// Takes over a connected (or connecting) socket and makes it nonblocking.
    ///
    /// # Errors
    /// The kernel refuses an option.
    pub fn from_descriptor(
        descriptor: OwnedFd,
        family: Family,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let raw = descriptor.as_raw_fd();
        // SAFETY: plain calls on a descriptor that this value owns.
        unsafe {
            let flags = check(libc::fcntl(raw, libc::F_GETFL))?;
            check(libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK))?;
        }
        if family == Family::Tcp {
            set_option(raw, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        }
        if let Some(bytes) = options.send_buffer_bytes {
            set_option(raw, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes as i32)?;
        }
        if let Some(bytes) = options.receive_buffer_bytes {
            set_option(raw, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes as i32)?;
        }
        Ok(Self { descriptor, family })
    }

    /// Two connected Unix streams.
    ///
    /// # Errors
    /// The kernel refuses the pair.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        let options = SocketOptions::default();
        Ok((
            Self::from_descriptor(one.into(), Family::Unix, &options)?,
            Self::from_descriptor(other.into(), Family::Unix, &options)?,
        ))
    }

    fn connect(&self, storage: &libc::sockaddr_storage, bytes: usize) -> io::Result<()> {
        // SAFETY: the first `bytes` bytes of the storage are a socket address.
        let result = unsafe {
            libc::connect(
                self.as_raw_fd(),
                std::ptr::from_ref(storage).cast(),
                bytes as libc::socklen_t,
            )
        };
        match check(result) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How connecting ended; also the error that broke a connection later.
    ///
    /// # Errors
    /// The error that the kernel kept for this socket.
    pub fn connect_result(&self) -> io::Result<()> {
        let mut code: libc::c_int = 0;
        let mut bytes = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the result and its length are owned by this frame.
        check(unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut code).cast(),
                &raw mut bytes,
            )
        })?;
        if code == 0 {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(code))
        }
    }

    /// What the stream runs over.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Reads what is there, at most `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, or what broke the connection.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the buffer is borrowed for the call.
        retry(|| unsafe {
            libc::recv(
                self.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        })
    }

    /// Reads what is there into `pieces` in order (at most [`IO_VECTORS_MAX`] of them).
    ///
    /// # Safety
    /// Every piece must be memory that is valid for writes and used by nobody else meanwhile.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, or what broke the connection.
    pub unsafe fn read_into(&self, pieces: &[IoVector]) -> io::Result<usize> {
        let count = pieces.len().min(IO_VECTORS_MAX) as libc::c_int;
        // SAFETY: the caller vouches for the memory; IoVector is laid out as iovec.
        retry(|| unsafe { libc::readv(self.as_raw_fd(), pieces.as_ptr().cast(), count) })
    }

    /// Writes what the kernel takes of `bytes`. Never raises SIGPIPE.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing now, or what broke the connection.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the bytes are borrowed for the call.
        retry(|| unsafe {
            libc::send(
                self.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        })
    }

    /// Writes what the kernel takes of `pieces` in order (at most [`IO_VECTORS_MAX`] of them).
    /// Never raises SIGPIPE.
    ///
    /// # Safety
    /// Every piece must be memory that is valid for reads.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing now, or what broke the connection.
    pub unsafe fn write_from(&self, pieces: &[IoVector]) -> io::Result<usize> {
        // SAFETY: msghdr is plain data for which all zeroes is a valid value.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = pieces.as_ptr().cast_mut().cast();
        message.msg_iovlen = pieces.len().min(IO_VECTORS_MAX) as _;
        // SAFETY: the caller vouches for the memory; IoVector is laid out as iovec.
        retry(|| unsafe { libc::sendmsg(self.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
    }

    /// Like [`Stream::write`]; `descriptor` travels with the first byte, so it has been sent as
    /// soon as this returns 1 or more. Unix only.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing now, or what broke the connection.
    pub fn write_with_descriptor(
        &self,
        bytes: &[u8],
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<usize> {
        loop {
            match descriptors::send(self.as_raw_fd(), bytes, descriptor) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Like [`Stream::read`]; appends the descriptors that came with the bytes, in order. One
    /// call never returns the descriptors of two messages.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, `InvalidData` when a message carried more than
    /// [`crate::DESCRIPTORS_PER_MESSAGE_MAX`] descriptors, or what broke the connection.
    pub fn read_with_descriptors(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
    ) -> io::Result<usize> {
        loop {
            match descriptors::receive(self.as_raw_fd(), buffer, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Lets the next close drop what the peer has not taken instead of holding it for delivery.
    pub fn reset_on_close(&self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the value is owned by this frame and its length is given. A failure only means
        // that the kernel holds the bytes a while longer.
        unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }

    /// Ends the sending direction, so that the peer reads everything sent and then the end.
    pub fn shutdown_write(&self) {
        // SAFETY: a plain call on a descriptor that this value owns. A failure means that the
        // connection is gone already, which is what was wanted.
        unsafe { libc::shutdown(self.as_raw_fd(), libc::SHUT_WR) };
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl From<TcpStream> for Stream {
    /// Options that the kernel refuses here are not worth failing for: the stream works without.
    fn from(stream: TcpStream) -> Self {
        // A connected stream's own calls cannot fail for a reason that its use would not show.
        let _ = stream.set_nonblocking(true);
        let _ = stream.set_nodelay(true);
        Self {
            descriptor: stream.into(),
            family: Family::Tcp,
        }
    }
}

pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub(crate) fn socket(domain: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: a plain call; the descriptor it returns is owned by nobody else.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::socket(domain, kind, 0))?)) }
}

pub(crate) fn set_option(
    descriptor: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the value is owned by this frame and its length is given.
    check(unsafe {
        libc::setsockopt(
            descriptor,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Writes `address` into `storage`; returns its length.
pub(crate) fn encode_address(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> usize {
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: sockaddr_storage is large enough and aligned for every socket address.
            let target: &mut libc::sockaddr_in =
                unsafe { &mut *std::ptr::from_mut(storage).cast() };
            target.sin_family = libc::AF_INET as libc::sa_family_t;
            target.sin_port = address.port().to_be();
            target.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            // SAFETY: sockaddr_storage is large enough and aligned for every socket address.
            let target: &mut libc::sockaddr_in6 =
                unsafe { &mut *std::ptr::from_mut(storage).cast() };
            target.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            target.sin6_port = address.port().to_be();
            target.sin6_flowinfo = address.flowinfo();
            target.sin6_scope_id = address.scope_id();
            target.sin6_addr.s6_addr = address.ip().octets();
            size_of::<libc::sockaddr_in6>()
        }
    }
}

/// Writes a Unix socket's path into `storage`; returns the address's length.
fn encode_path(path: &Path, storage: &mut libc::sockaddr_storage) -> io::Result<usize> {
    // SAFETY: sockaddr_storage is large enough and aligned for every socket address.
    let target: &mut libc::sockaddr_un = unsafe { &mut *std::ptr::from_mut(storage).cast() };
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() >= target.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "socket path {} has {} bytes; 1 to {} are possible",
                path.display(),
                bytes.len(),
                target.sun_path.len() - 1
            ),
        ));
    }
    target.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (slot, byte) in target.sun_path.iter_mut().zip(bytes) {
        *slot = *byte as libc::c_char;
    }
    Ok(size_of::<libc::sockaddr_un>())
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
