//! Bounds that both sides enforce before they allocate or wait.

/// Largest body of any frame, bytes. Bodies hold ids and statuses, never payload.
pub const BODY_BYTES_MAX: u32 = 4 << 20;
/// Largest number of keys in one request.
pub const KEYS_PER_REQUEST_MAX: u32 = 65_536;
/// Largest payload of one frame, bytes.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 30;
/// Largest block, bytes.
pub const BLOCK_BYTES_MAX: u32 = 256 << 20;
/// Requests that one connection may have unanswered; a further one is a protocol error.
pub const REQUESTS_IN_FLIGHT_MAX: u32 = 256;
/// Spaces that one connection may have bound.
pub const SPACES_PER_CONNECTION_MAX: usize = 1024;
/// Memory regions that one connection may have offered.
pub const REGIONS_PER_CONNECTION_MAX: usize = 256;
/// Pieces (contiguous runs of caller's memory) in one offered put.
pub const PIECES_PER_REQUEST_MAX: u32 = 131_072;
/// Longest time left that a request may state, milliseconds (ten minutes).
pub const DEADLINE_MS_MAX: u32 = 600_000;
/// A hello that has not arrived whole after this long ends the connection, milliseconds.
pub const HELLO_DEADLINE_MS: u32 = 5_000;
/// Longest text in an answer, bytes of UTF-8.
pub const MESSAGE_BYTES_MAX: usize = 1024;
