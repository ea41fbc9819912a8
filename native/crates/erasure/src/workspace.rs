use crate::cuts::{Cut, Run};
use crate::kernel::{Factors, Piece, Sums, apply};
use crate::{DATA_SHARDS_MAX, SHARD_ALIGNMENT, Scheme};

/// Worked on at once, bytes of each shard: what is copied aside stays in the second-level cache.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces that are shorter than this in one of the shards are copied together first, bytes.
const DIRECT_BYTES_MIN: usize = 4 << 10;

static ZEROS: Line = Line([0; PIECE_BYTES]);

#[repr(align(64))]
struct Line([u8; PIECE_BYTES]);

/// One shard of a pass.
#[derive(Clone, Copy)]
pub(crate) enum Shard {
    /// In the block's runs.
    Cut(Cut),
    /// In memory of its own.
    Flat(*mut u8),
}

/// Memory that encoding and rebuilding need beside the block: one for each thread that does it,
/// kept from call to call.
#[derive(Default)]
pub struct Workspace {
    /// Runs of the block that is worked on.
    pub(crate) runs: Vec<Run>,
    /// Shards that a pass reads.
    pub(crate) inputs: Vec<Shard>,
    /// Shards that a pass makes.
    pub(crate) outputs: Vec<Shard>,
    room: Vec<Line>,
}

// SAFETY: its pointers are used by the call that put them there, and left alone once it is over.
unsafe impl Send for Workspace {}

impl Workspace {
    /// An empty one; it grows to 16 KiB a shard of the largest scheme it is used for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the runs of a block and tells how many bytes they have.
    pub(crate) fn take_runs(&mut self, runs: impl IntoIterator<Item = Run>) -> u64 {
        self.inputs.clear();
        self.outputs.clear();
        self.runs.clear();
        self.runs
            .extend(runs.into_iter().filter(|run| run.bytes > 0));
        self.runs.iter().map(|run| run.bytes as u64).sum()
    }

    /// The data shards of the block whose runs were taken.
    pub(crate) fn cuts(
        &self,
        scheme: Scheme,
        block_bytes: usize,
    ) -> [Cut; DATA_SHARDS_MAX as usize] {
        let shard_bytes = scheme.shard_bytes(block_bytes);
        let mut cuts = [Cut::at(&self.runs, None, 0, 0); DATA_SHARDS_MAX as usize];
        let mut before = None;
        for (index, cut) in cuts.iter_mut().take(scheme.data()).enumerate() {
            let begin = index * shard_bytes;
            *cut = Cut::at(
                &self.runs,
                before,
                begin,
                scheme.used_bytes(block_bytes, index),
            );
            before = Some((*cut, begin));
        }
        cuts
    }

    /// Makes the outputs from the inputs, all of `shard_bytes` bytes, and their sums.
    ///
    /// # Safety
    /// Runs and shards can be read and written as the pass does; no output overlaps anything else.
    pub(crate) unsafe fn pass(
        &mut self,
        factors: &Factors,
        shard_bytes: usize,
        mut sums: Sums<'_>,
    ) {
        let shards = self.inputs.len() + self.outputs.len();
        if self.room.len() < shards {
            self.room.resize_with(shards, || Line([0; PIECE_BYTES]));
        }
        let mut inputs = [std::ptr::null::<u8>(); DATA_SHARDS_MAX as usize];
        let mut outputs = [std::ptr::null_mut::<u8>(); DATA_SHARDS_MAX as usize];
        let mut done = 0;
        while done < shard_bytes {
            let bytes = self.piece_bytes(shard_bytes - done);
            let (input_room, output_room) = self.room.split_at_mut(self.inputs.len());
            for ((shard, room), place) in self.inputs.iter_mut().zip(input_room).zip(&mut inputs) {
                // SAFETY: as the caller promises.
                *place = unsafe { shard.readable(&self.runs, room, bytes) };
            }
            for ((shard, room), place) in self
                .outputs
                .iter()
                .zip(output_room.iter_mut())
                .zip(&mut outputs)
            {
                *place = shard
                    .in_place(&self.runs, bytes)
                    .unwrap_or(room.0.as_mut_ptr());
            }
            let piece = Piece {
                inputs: &inputs[..self.inputs.len()],
                outputs: &outputs[..self.outputs.len()],
                bytes,
            };
            // SAFETY: every place has the bytes, and outputs are apart from all others.
            unsafe { apply(factors, &piece, &mut sums) };
            for (shard, room) in self.outputs.iter_mut().zip(output_room) {
                // SAFETY: as the caller promises.
                unsafe { shard.settle(&self.runs, room, bytes) };
            }
            done += bytes;
        }
    }

    /// How many bytes to go on with: as many as lie in one piece everywhere, unless they are few.
    fn piece_bytes(&self, left: usize) -> usize {
        let most = left.min(PIECE_BYTES);
        let shards = self.inputs.iter().chain(&self.outputs);
        let together = shards
            .map(|shard| shard.together(&self.runs))
            .fold(most, usize::min);
        let together = together - together % SHARD_ALIGNMENT;
        if together < DIRECT_BYTES_MIN {
            most
        } else {
            together
        }
    }
}

impl Shard {
    /// Bytes that lie in one piece; padding does everywhere.
    fn together(&self, runs: &[Run]) -> usize {
        match self {
            Self::Flat(_) => PIECE_BYTES,
            Self::Cut(cut) => match cut.next(runs) {
                (_, 0) => PIECE_BYTES,
                (_, bytes) => bytes,
            },
        }
    }

    /// Where its next bytes are, if they lie there in one piece.
    fn in_place(&self, runs: &[Run], bytes: usize) -> Option<*mut u8> {
        match self {
            Self::Flat(address) => Some(*address),
            Self::Cut(cut) => {
                let (address, together) = cut.next(runs);
                (together >= bytes).then_some(address)
            }
        }
    }

    /// Where its next bytes can be read in one piece, if need be a copy; goes on behind them.
    ///
    /// # Safety
    /// The shard has the bytes.
    unsafe fn readable(&mut self, runs: &[Run], room: &mut Line, bytes: usize) -> *const u8 {
        let place = self.in_place(runs, bytes);
        match (self, place) {
            (Self::Flat(address), _) => {
                let place = *address;
                *address = place.wrapping_add(bytes);
                place
            }
            (Self::Cut(cut), Some(place)) => {
                cut.skip(runs, bytes);
                place
            }
            (Self::Cut(cut), None) if cut.next(runs).1 == 0 => ZEROS.0.as_ptr(),
            (Self::Cut(cut), None) => {
                // SAFETY: as the caller promises; a line has room for a piece.
                unsafe { cut.read(runs, room.0.as_mut_ptr(), bytes) };
                room.0.as_ptr()
            }
        }
    }

    /// Takes what was made beside its place into it; goes on behind it.
    ///
    /// # Safety
    /// The shard has room for the bytes.
    unsafe fn settle(&mut self, runs: &[Run], room: &Line, bytes: usize) {
        let place = self.in_place(runs, bytes);
        match (self, place) {
            (Self::Flat(address), _) => *address = address.wrapping_add(bytes),
            (Self::Cut(cut), Some(_)) => cut.skip(runs, bytes),
            // SAFETY: as the caller promises.
            (Self::Cut(cut), None) => unsafe { cut.write(runs, room.0.as_ptr(), bytes) },
        }
    }
}
