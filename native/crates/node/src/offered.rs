use holdfast_wire::checksum::SummedCopy;
use holdfast_wire::{KeyStatus, OfferedEntry, Piece};

use crate::grant::AdmittedPut;
use crate::regions::Regions;
use crate::shared::Shared;

/// Copied in one go, bytes.
const SLICE_BYTES: usize = 64 << 10;

/// A put whose blocks are being copied out of the caller's offered memory.
pub(crate) struct OfferedCopy {
    pub(crate) put: AdmittedPut,
    entries: Vec<OfferedEntry>,
    pieces: Vec<Piece>,
    /// Of each entry its first piece.
    first_pieces: Vec<u32>,
    /// The next wanted block, and where in it the copy stands.
    block: usize,
    copied: usize,
    piece: usize,
    piece_copied: u32,
    copy: SummedCopy,
    sums: Vec<u32>,
}

impl OfferedCopy {
    pub(crate) fn new(
        mut put: AdmittedPut,
        entries: Vec<OfferedEntry>,
        pieces: Vec<Piece>,
    ) -> Self {
        let mut next = 0;
        let first_pieces = entries
            .iter()
            .map(|entry| {
                let first = next;
                next += entry.pieces;
                first
            })
            .collect();
        let batch_bytes = put
            .wanted
            .iter_mut()
            .map(|wanted| wanted.slot.as_mut_slice().len())
            .sum();
        let mut copy = Self {
            put,
            entries,
            pieces,
            first_pieces,
            block: 0,
            copied: 0,
            piece: 0,
            piece_copied: 0,
            copy: SummedCopy::new(batch_bytes),
            sums: Vec::new(),
        };
        copy.begin_block();
        copy
    }

    fn begin_block(&mut self) {
        if let Some(wanted) = self.put.wanted.get(self.block) {
            self.piece = self.first_pieces[wanted.key as usize] as usize;
        }
        (self.copied, self.piece_copied) = (0, 0);
        self.copy.reset();
    }

    /// Copies about `bytes_max` bytes; returns how many, and whether all blocks are done.
    pub(crate) fn advance(&mut self, regions: &Regions, bytes_max: usize) -> (usize, bool) {
        let mut done = 0;
        while self.block < self.put.wanted.len() {
            if done >= bytes_max {
                return (done, false);
            }
            done += self.slice(regions);
        }
        (done, true)
    }

    /// Copies one slice of the present block; returns its bytes.
    fn slice(&mut self, regions: &Regions) -> usize {
        let wanted = &mut self.put.wanted[self.block];
        let key = wanted.key as usize;
        let room = &mut wanted.slot.as_mut_slice()[self.copied..];
        // The pieces of a block add up to its size: that was checked when the put was admitted.
        let piece = self.pieces[self.piece];
        let length = room
            .len()
            .min(SLICE_BYTES)
            .min((piece.bytes - self.piece_copied) as usize);
        let offset = piece.offset + u64::from(self.piece_copied);
        let whole = length == room.len();
        let room = &mut room[..length];
        if !regions.copy(piece.region, offset, room, &mut self.copy) {
            self.put.statuses[key] = KeyStatus::Refused;
            self.end_block();
            return length;
        }
        self.copied += length;
        self.piece_copied += length as u32;
        if self.piece_copied == piece.bytes {
            (self.piece, self.piece_copied) = (self.piece + 1, 0);
        }
        if whole {
            self.end_block();
        }
        length
    }

    fn end_block(&mut self) {
        self.sums.push(self.copy.value());
        self.block += 1;
        self.begin_block();
    }

    /// Compares the checksums, stores what matches and returns every key's status.
    pub(crate) fn finish(self, shared: &Shared) -> Vec<KeyStatus> {
        let expected: Vec<u32> = self
            .put
            .wanted
            .iter()
            .map(|wanted| self.entries[wanted.key as usize].crc)
            .collect();
        self.put.commit(shared, &self.sums, expected.into_iter())
    }
}
