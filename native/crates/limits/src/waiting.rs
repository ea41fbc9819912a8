use std::io::{ErrorKind, Read, Result};
use std::net::TcpStream;

/// What a thread does while the bytes it needs are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Sleeps in the kernel.
    Blocking,
    /// Asks again and again.
    Spinning,
}

impl Waiting {
    /// Fills `buffer` from a stream that is in the mode of this policy.
    ///
    /// # Errors
    /// Whatever the socket says; `UnexpectedEof` when the peer closes first.
    pub(crate) fn read_exact(self, stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match stream.read(&mut buffer[done..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self == Self::Spinning && error.kind() == ErrorKind::WouldBlock => {
                    std::hint::spin_loop();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`, likewise.
    pub(crate) fn write_all(self, stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
        use std::io::Write;
        let mut done = 0;
        while done < bytes.len() {
            match stream.write(&bytes[done..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self == Self::Spinning && error.kind() == ErrorKind::WouldBlock => {
                    std::hint::spin_loop();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
