//! The block protocol: frames, limits, statuses, block ids, checksums and tickets. No I/O.
//!
//! The bytes are drawn in `docs/formats.md`; this crate is their only encoder and decoder.
//! Everything is little endian. A connection carries frames in both directions; a frame is a
//! [`Header`] (40 bytes), a body of `body_bytes`, and a payload of `payload_bytes`. The header's
//! check covers header and body, payload carries its own checksum per block.

mod bind;
mod block_id;
pub mod checksum;
mod error;
mod header;
mod hello;
mod keys;
pub mod limits;
mod listing;
mod puts;
mod reader;
mod shared;
mod status;
mod ticket;

pub use bind::{BindRequest, Refusal};
pub use block_id::{BlockId, SpaceKey, group_of};
pub use error::WireError;
pub use header::{HEADER_BYTES, Header, Kind};
pub use hello::{FEATURES, Hello, MAGIC, TransportKind, VERSION_MAX, VERSION_MIN, Welcome};
pub use keys::{
    BlockAnswer, EXISTS_TOUCHES, GetAnswer, KeysRequest, StatAnswer, StatEntry, bitmap_get,
    bitmap_set,
};
pub use listing::{ListAnswer, ListRequest, ListedBlock};
pub use puts::{PutDone, PutEntry, PutGrant, PutRequest};
pub use shared::{
    LocatedAnswer, LocatedBlock, OfferedEntry, OfferedPut, Piece, RegionOffer, ViewAnnounce,
};
pub use status::{AnswerStatus, KeyStatus, Verdict};
pub use ticket::{TICKET_BYTES, Ticket, TicketError, TicketKind, TicketVerifier};
