//! What the tests share: a slow reference of the code, and blocks scattered over memory.

#![allow(dead_code, reason = "no test file uses all of it")]

use holdfast_erasure::{
    Encoder, Place, PresentShard, Run, SHARD_ALIGNMENT, Scheme, StripeSums, StripeVersion,
    Workspace,
};

/// The product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1, as taught at school.
pub fn product(left: u8, right: u8) -> u8 {
    let mut long = 0u16;
    for bit in 0..8 {
        if right >> bit & 1 == 1 {
            long ^= u16::from(left) << bit;
        }
    }
    for bit in (8..15).rev() {
        if long >> bit & 1 == 1 {
            long ^= 0x11D << (bit - 8);
        }
    }
    long as u8
}

fn quotient(left: u8, right: u8) -> u8 {
    (0..=255)
        .find(|candidate| product(*candidate, right) == left)
        .expect("a field")
}

/// The factors of one shard: bytes of data shards are values at 0, 1, .. k - 1 of a polynomial of
/// least degree, and those of shard `index` its value at `index` (Lagrange).
pub fn factors(data: usize, index: usize) -> Vec<u8> {
    let factor = |own: usize| {
        let others = (0..data).filter(|other| *other != own);
        others.fold(1, |result, other| {
            let above = (index ^ other) as u8;
            let below = (own ^ other) as u8;
            product(result, quotient(above, below))
        })
    };
    (0..data).map(factor).collect()
}

/// All shards of a block, by definition.
pub fn reference(scheme: Scheme, block: &[u8]) -> Vec<Vec<u8>> {
    let shard_bytes = block
        .len()
        .div_ceil(scheme.data())
        .next_multiple_of(SHARD_ALIGNMENT);
    let mut padded = block.to_vec();
    padded.resize(shard_bytes * scheme.data(), 0);
    let mut shards: Vec<Vec<u8>> = padded.chunks(shard_bytes).map(<[u8]>::to_vec).collect();
    for index in scheme.data()..scheme.shards() {
        let mut parity = vec![0; shard_bytes];
        for (factor, shard) in factors(scheme.data(), index).iter().zip(&shards) {
            let products: Vec<u8> = (0..=255).map(|byte| product(*factor, byte)).collect();
            for (sum, byte) in parity.iter_mut().zip(shard) {
                *sum ^= products[usize::from(*byte)];
            }
        }
        shards.push(parity);
    }
    shards
}

/// Bytes that look like noise, the same for the same seed.
pub fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

const GUARD: u8 = 0xA5;
const GAP_BYTES: usize = 24;

/// A block in runs that lie backwards in memory, with gaps between them that nobody may touch.
pub struct Scattered {
    memory: Vec<u8>,
    /// (offset in memory, bytes) in the block's order.
    runs: Vec<(usize, usize)>,
}

impl Scattered {
    /// The block cut at `cuts`, which are in order.
    pub fn new(block: &[u8], cuts: &[usize]) -> Self {
        let mut runs = Vec::new();
        let mut end = block.len() + GAP_BYTES * (cuts.len() + 2);
        let mut memory = vec![GUARD; end];
        let mut before = 0;
        for cut in cuts.iter().copied().chain([block.len()]) {
            let bytes = cut - before;
            end -= GAP_BYTES + bytes;
            memory[end..end + bytes].copy_from_slice(&block[before..cut]);
            runs.push((end, bytes));
            before = cut;
        }
        Self { memory, runs }
    }

    /// The runs as a caller names them.
    pub fn runs(&mut self) -> Vec<Run> {
        let base = self.memory.as_mut_ptr();
        let run = |(at, bytes): &(usize, usize)| Run {
            address: base.wrapping_add(*at),
            bytes: *bytes,
        };
        self.runs.iter().map(run).collect()
    }

    /// The block's bytes.
    pub fn block(&self) -> Vec<u8> {
        let runs = self.runs.iter();
        runs.flat_map(|(at, bytes)| self.memory[*at..at + bytes].iter().copied())
            .collect()
    }

    /// Overwrites bytes `begin..end` of the block.
    pub fn spoil(&mut self, begin: usize, end: usize) {
        let mut before = 0;
        for (at, bytes) in &self.runs {
            for byte in 0..*bytes {
                if (begin..end).contains(&(before + byte)) {
                    self.memory[at + byte] ^= 0x5C;
                }
            }
            before += bytes;
        }
    }

    /// Whether all gaps are as they were.
    pub fn gaps_are_whole(&self) -> bool {
        let inside = |place: usize| {
            let mut runs = self.runs.iter();
            runs.any(|(at, bytes)| (*at..at + bytes).contains(&place))
        };
        let mut bytes = self.memory.iter().enumerate();
        bytes.all(|(place, byte)| *byte == GUARD || inside(place))
    }
}

/// Encodes a scattered block.
pub fn encode(scheme: Scheme, block: &mut Scattered) -> (Vec<Vec<u8>>, StripeSums) {
    let block_bytes = block.runs.iter().map(|(_, bytes)| bytes).sum();
    let mut parity = vec![vec![GUARD; scheme.shard_bytes(block_bytes)]; scheme.parity()];
    let mut places: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    // SAFETY: block and parity are this thread's.
    let sums = unsafe {
        Encoder::of(scheme).encode_block(&mut Workspace::new(), block.runs(), &mut places)
    };
    (parity, sums.expect("sizes that fit"))
}

/// The version of a block with these sums.
pub fn version(scheme: Scheme, block_bytes: usize, sums: &StripeSums) -> StripeVersion {
    StripeVersion {
        scheme,
        block_bytes: block_bytes as u32,
        block_sum: sums.block,
    }
}

/// A shard that is present, in its place in the block or in memory of its own.
pub fn present<'a>(
    version: &StripeVersion,
    sums: &StripeSums,
    index: usize,
    at: Option<&'a [u8]>,
) -> PresentShard<'a> {
    PresentShard {
        tail: version.tail(index),
        sum: sums.shards[index],
        place: at.map_or(Place::InBlock, Place::At),
    }
}
