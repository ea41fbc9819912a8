use std::io;

use holdfast_engine::WriteSlot;
use holdfast_transport::{IoVector, Stream};
use holdfast_wire::checksum::Crc32c;
use holdfast_wire::{BlockId, KeyStatus};

use crate::budget::Charge;
use crate::outgoing::Ends;
use crate::shared::Shared;

/// Payload read by one call, bytes: large enough to spare system calls, small enough to be still
/// in the processor's cache when it is checksummed (measured: docs/decisions/0001).
const PIECE_BYTES: usize = 256 << 10;
/// Slots that one call reads into at most.
const PIECE_SLOTS_MAX: usize = 64;
/// Bytes of the checksum behind the payload, for each block.
pub(crate) const CHECKSUM_BYTES: u64 = 4;

/// Room that the engine gave for one key of a put.
pub(crate) struct WantedBlock {
    /// The key's place in the request.
    pub(crate) key: u32,
    pub(crate) id: BlockId,
    pub(crate) slot: WriteSlot,
}

/// A put whose keys were looked at: what is settled, and room for what is wanted. Dropped, it
/// gives the room back.
pub(crate) struct AdmittedPut {
    pub(crate) ends: Ends,
    pub(crate) space: u32,
    /// How many nodes hold each of its blocks.
    pub(crate) copies: u8,
    /// One a key; `Unknown` for wanted ones until they are settled.
    pub(crate) statuses: Vec<KeyStatus>,
    /// Keys named before in the same request, and where.
    pub(crate) duplicates: Vec<(u32, u32)>,
    pub(crate) wanted: Vec<WantedBlock>,
    /// Held for as long as the room is.
    pub(crate) _charge: Charge,
}

impl AdmittedPut {
    /// Stores the blocks whose checksum is the caller's and returns every key's status.
    pub(crate) fn commit(
        mut self,
        shared: &Shared,
        sums: &[u32],
        expected: impl Iterator<Item = u32>,
    ) -> Vec<KeyStatus> {
        // Looked at again, because both may have changed while the payload moved.
        let route = shared.hold_route();
        let dropped = shared.is_dropped(self.space);
        let mut kept = Vec::with_capacity(self.wanted.len());
        let mut keys = Vec::with_capacity(self.wanted.len());
        for ((wanted, sum), expected) in self.wanted.drain(..).zip(sums).zip(expected) {
            let status = &mut self.statuses[wanted.key as usize];
            if *status != KeyStatus::Unknown {
                continue; // Settled while it was copied.
            }
            if dropped {
                *status = KeyStatus::Refused;
            } else if !route.owns(&wanted.id, self.copies) {
                *status = KeyStatus::NotOwner;
            } else if *sum != expected {
                *status = KeyStatus::Corrupt;
            } else {
                kept.push((wanted.slot, *sum));
                keys.push(wanted.key);
            }
        }
        let visible = shared.engine.commit_batch(kept);
        drop(route);
        for (key, visible) in keys.into_iter().zip(visible) {
            self.statuses[key as usize] = if visible {
                KeyStatus::Stored
            } else {
                KeyStatus::Refused
            };
        }
        self.settle_duplicates()
    }

    /// Gives the room back; wanted keys end as `status`.
    pub(crate) fn abandon(mut self, status: KeyStatus) -> Vec<KeyStatus> {
        for wanted in self.wanted.drain(..) {
            self.statuses[wanted.key as usize] = status;
        }
        self.settle_duplicates()
    }

    fn settle_duplicates(self) -> Vec<KeyStatus> {
        let mut statuses = self.statuses;
        for (key, first) in self.duplicates {
            statuses[key as usize] = statuses[first as usize];
        }
        statuses
    }
}

/// What one call of [`GrantedPut::receive`] did.
pub(crate) struct Received {
    pub(crate) bytes: usize,
    /// Whether the socket is empty.
    pub(crate) drained: bool,
    /// Whether everything is here.
    pub(crate) complete: bool,
}

/// A put whose payload is expected, or arriving, in place.
pub(crate) struct GrantedPut {
    pub(crate) put: AdmittedPut,
    block_bytes: usize,
    received: u64,
    digest: Crc32c,
    sums: Vec<u32>,
    trailer: Vec<u8>,
    trailer_received: usize,
}

impl GrantedPut {
    pub(crate) fn new(put: AdmittedPut, block_bytes: u32) -> Self {
        let blocks = put.wanted.len();
        Self {
            put,
            block_bytes: block_bytes as usize,
            received: 0,
            digest: Crc32c::new(),
            sums: Vec::with_capacity(blocks),
            trailer: vec![0; blocks * CHECKSUM_BYTES as usize],
            trailer_received: 0,
        }
    }

    /// Bytes that its `PutData` must carry: blocks and checksums.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.blocks_bytes() + self.trailer.len() as u64
    }

    /// Bytes of them that have not arrived.
    pub(crate) fn remaining_bytes(&self) -> u64 {
        self.payload_bytes() - self.received - self.trailer_received as u64
    }

    fn blocks_bytes(&self) -> u64 {
        self.put.wanted.len() as u64 * self.block_bytes as u64
    }

    /// Reads once from the stream, straight into the slots, and checksums what came.
    pub(crate) fn receive(
        &mut self,
        stream: &Stream,
        pieces: &mut Vec<IoVector>,
    ) -> io::Result<Received> {
        let wanted = self.gather(pieces);
        // SAFETY: the pieces point into slots that only this put may write, and into its trailer.
        let bytes = match unsafe { stream.read_into(pieces) } {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let into_blocks = (bytes as u64).min(self.blocks_bytes() - self.received) as usize;
        self.checksum(into_blocks);
        self.trailer_received += bytes - into_blocks;
        Ok(Received {
            bytes,
            drained: bytes < wanted,
            complete: self.trailer_received == self.trailer.len()
                && self.received == self.blocks_bytes(),
        })
    }

    /// Lists where the next bytes go; returns how many they are.
    fn gather(&mut self, pieces: &mut Vec<IoVector>) -> usize {
        pieces.clear();
        let mut bytes = 0;
        let mut block = (self.received / self.block_bytes as u64) as usize;
        let mut from = (self.received % self.block_bytes as u64) as usize;
        while let Some(wanted) = self.put.wanted.get_mut(block) {
            if bytes == PIECE_BYTES || pieces.len() == PIECE_SLOTS_MAX {
                return bytes;
            }
            let room = &mut wanted.slot.as_mut_slice()[from..];
            let length = room.len().min(PIECE_BYTES - bytes);
            pieces.push(IoVector::of_mut(&mut room[..length]));
            bytes += length;
            (block, from) = (block + 1, 0);
            if length < room.len() {
                return bytes;
            }
        }
        let piece = IoVector::of_mut(&mut self.trailer[self.trailer_received..]);
        pieces.push(piece);
        bytes + piece.bytes()
    }

    /// Adds the next `bytes` bytes, which lie in the slots, to their blocks' checksums.
    fn checksum(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let block = (self.received / self.block_bytes as u64) as usize;
            let from = (self.received % self.block_bytes as u64) as usize;
            let slot = self.put.wanted[block].slot.as_mut_slice();
            let length = bytes.min(slot.len() - from);
            self.digest.update(&slot[from..from + length]);
            self.received += length as u64;
            bytes -= length;
            if from + length == slot.len() {
                self.sums.push(self.digest.value());
                self.digest.reset();
            }
        }
    }

    /// Compares the checksums, stores what matches and returns every key's status.
    pub(crate) fn finish(self, shared: &Shared) -> Vec<KeyStatus> {
        let expected = self.trailer.as_chunks::<4>().0.iter();
        self.put.commit(
            shared,
            &self.sums,
            expected.map(|bytes| u32::from_le_bytes(*bytes)),
        )
    }
}
