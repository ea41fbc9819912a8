use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::Waiting;

/// Bytes of an order from the probe: what, waiting policy, chunk bytes, total bytes.
pub(crate) const ORDER_BYTES: usize = 32;

/// What the probe orders.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Order {
    /// The peer sends `total` bytes in writes of `chunk`.
    Send = 1,
    /// The peer reads `total` bytes in reads of `chunk`, then answers one byte.
    Receive = 2,
    /// The peer answers each 32-byte request with `chunk` bytes, until `total` requests are done.
    RoundTrips = 3,
}

/// The other process of the raw measurements: holds the source set and obeys orders.
pub struct Peer {
    listener: TcpListener,
    set: Arc<Vec<u8>>,
}

impl Peer {
    /// Listens on a free loopback port over `set_bytes` of incompressible bytes.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn bind(set_bytes: usize, seed: u64) -> Result<Self> {
        let mut set = vec![0u8; set_bytes];
        fill(&mut set, seed);
        Ok(Self {
            listener: TcpListener::bind(("127.0.0.1", 0))?,
            set: Arc::new(set),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves one connection after the other until accepting fails; a connection that breaks ends
    /// alone.
    ///
    /// # Errors
    /// When the listener fails.
    pub fn serve(&self) -> Result<()> {
        loop {
            let (stream, _) = self.listener.accept()?;
            let set = Arc::clone(&self.set);
            std::thread::spawn(move || obey(stream, &set));
        }
    }
}

fn obey(mut stream: TcpStream, set: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut sink = vec![0u8; 32 << 20];
    let (mut cursor, mut place) = (0, 0);
    loop {
        stream.set_nonblocking(false)?;
        let mut order = [0; ORDER_BYTES];
        Waiting::Blocking.read_exact(&mut stream, &mut order)?;
        let (order, waiting, chunk, total) = decode(&order, set.len())?;
        stream.set_nonblocking(waiting == Waiting::Spinning)?;
        match order {
            Order::Send => {
                let mut left = total;
                while left > 0 {
                    let bytes = next(set, &mut cursor, chunk.min(left));
                    waiting.write_all(&mut stream, bytes)?;
                    left -= bytes.len();
                }
            }
            Order::Receive => {
                let (mut left, mut at) = (total, 0);
                while left > 0 {
                    let bytes = chunk.min(left);
                    if at + bytes > sink.len() {
                        at = 0;
                    }
                    waiting.read_exact(&mut stream, &mut sink[at..at + bytes])?;
                    at += bytes;
                    left -= bytes;
                }
                waiting.write_all(&mut stream, &[1])?;
            }
            Order::RoundTrips => {
                let mut request = [0; ORDER_BYTES];
                for _ in 0..total {
                    waiting.read_exact(&mut stream, &mut request)?;
                    let block = random_block(set, &mut place, chunk);
                    waiting.write_all(&mut stream, block)?;
                }
            }
        }
    }
}

fn next<'a>(set: &'a [u8], cursor: &mut usize, bytes: usize) -> &'a [u8] {
    if *cursor + bytes > set.len() {
        *cursor = 0;
    }
    let piece = &set[*cursor..*cursor + bytes];
    *cursor += bytes;
    piece
}

/// A block of the set as a client would ask for it: anywhere, so that its bytes are as cold as
/// those that a data node answers with.
fn random_block<'a>(set: &'a [u8], place: &mut u64, bytes: usize) -> &'a [u8] {
    // A full-period generator (Knuth's MMIX); its upper bits are the random ones.
    *place = place
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let begin = (*place >> 33) as usize % (set.len() / bytes) * bytes;
    &set[begin..begin + bytes]
}

pub(crate) fn encode(order: Order, waiting: Waiting, chunk: usize, total: usize) -> [u8; 32] {
    let mut bytes = [0; ORDER_BYTES];
    bytes[..8].copy_from_slice(&(order as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::from(waiting == Waiting::Spinning).to_le_bytes());
    bytes[16..24].copy_from_slice(&(chunk as u64).to_le_bytes());
    bytes[24..].copy_from_slice(&(total as u64).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; ORDER_BYTES], chunk_max: usize) -> Result<(Order, Waiting, usize, usize)> {
    let field = |index: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
        u64::from_le_bytes(word)
    };
    let order = match field(0) {
        1 => Order::Send,
        2 => Order::Receive,
        3 => Order::RoundTrips,
        other => {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("unknown order {other}"),
            ));
        }
    };
    let waiting = if field(1) == 1 {
        Waiting::Spinning
    } else {
        Waiting::Blocking
    };
    let chunk = field(2) as usize;
    if chunk == 0 || chunk > chunk_max.min(32 << 20) {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("chunk of {chunk} bytes"),
        ));
    }
    Ok((order, waiting, chunk, field(3) as usize))
}

/// Incompressible bytes from a seed (splitmix64; Steele, Lea, Flood 2014).
pub(crate) fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed;
    for word in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        word.copy_from_slice(&mixed.to_le_bytes()[..word.len()]);
    }
}
