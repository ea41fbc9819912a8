use std::io::Result;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::peer::{ORDER_BYTES, Order, encode};
use crate::{Waiting, peer};

/// The measuring side of the raw limits: one connection to a [`crate::Peer`].
pub struct Probe {
    stream: TcpStream,
}

impl Probe {
    /// Connects.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream })
    }

    fn order(&mut self, order: Order, waiting: Waiting, chunk: usize, total: usize) -> Result<()> {
        self.stream.set_nonblocking(false)?;
        Waiting::Blocking.write_all(&mut self.stream, &encode(order, waiting, chunk, total))?;
        self.stream.set_nonblocking(waiting == Waiting::Spinning)
    }

    /// Reads `total` bytes into `destination`, over and over, in reads of `read_bytes`, while the
    /// peer writes `write_bytes` at a time. Returns how long it took.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn receive(
        &mut self,
        destination: &mut [u8],
        total: usize,
        read_bytes: usize,
        write_bytes: usize,
    ) -> Result<Duration> {
        self.order(Order::Send, Waiting::Blocking, write_bytes, total)?;
        let start = Instant::now();
        let (mut left, mut at) = (total, 0);
        while left > 0 {
            let bytes = read_bytes.min(left);
            if at + bytes > destination.len() {
                at = 0;
            }
            Waiting::Blocking.read_exact(&mut self.stream, &mut destination[at..at + bytes])?;
            at += bytes;
            left -= bytes;
        }
        Ok(start.elapsed())
    }

    /// Writes `total` bytes of `source`, over and over, in writes of `write_bytes`; ends when the
    /// peer has read them all.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn send(
        &mut self,
        source: &[u8],
        total: usize,
        read_bytes: usize,
        write_bytes: usize,
    ) -> Result<Duration> {
        self.order(Order::Receive, Waiting::Blocking, read_bytes, total)?;
        let start = Instant::now();
        let (mut left, mut at) = (total, 0);
        while left > 0 {
            let bytes = write_bytes.min(left);
            if at + bytes > source.len() {
                at = 0;
            }
            Waiting::Blocking.write_all(&mut self.stream, &source[at..at + bytes])?;
            at += bytes;
            left -= bytes;
        }
        Waiting::Blocking.read_exact(&mut self.stream, &mut [0])?;
        Ok(start.elapsed())
    }

    /// Times `count` exchanges of a small request for `reply.len()` bytes, each in nanoseconds.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn round_trips(
        &mut self,
        reply: &mut [u8],
        count: usize,
        waiting: Waiting,
    ) -> Result<Vec<u64>> {
        self.order(Order::RoundTrips, waiting, reply.len(), count)?;
        let request = [0; ORDER_BYTES];
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            waiting.write_all(&mut self.stream, &request)?;
            waiting.read_exact(&mut self.stream, reply)?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        Ok(times)
    }
}

impl Probe {
    /// Incompressible bytes, the same for the same seed.
    pub fn fill(bytes: &mut [u8], seed: u64) {
        peer::fill(bytes, seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Peer;

    #[test]
    fn bytes_arrive_as_they_were_made() {
        let peer = Peer::bind(1 << 20, 7).expect("a loopback port");
        let address = peer.address().expect("an address");
        std::thread::spawn(move || peer.serve());
        let mut probe = Probe::connect(address).expect("a connection");
        let mut expected = vec![0; 1 << 20];
        Probe::fill(&mut expected, 7);
        let mut landed = vec![0; 1 << 20];
        probe
            .receive(&mut landed, 1 << 20, 65_536, 262_144)
            .expect("a stream");
        assert!(landed == expected);
        probe
            .send(&expected, 3 << 20, 65_536, 131_072)
            .expect("a stream");
        for waiting in [Waiting::Blocking, Waiting::Spinning] {
            let times = probe
                .round_trips(&mut landed[..4096], 20, waiting)
                .expect("round trips");
            assert_eq!(times.len(), 20);
        }
    }
}
