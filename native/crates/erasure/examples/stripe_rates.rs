//! Speed of stripes on one thread: `cargo run --release --example stripe_rates -- [ROUNDS]`.
//!
//! Every measure is taken once a round, one after the other, so that ratios of one round survive a
//! machine that drifts. `cached` works on one block over and over, and shows the arithmetic;
//! `memory` works on more than the caches hold. Prints the kernel, then a line for each measure:
//! its name, and GB of block bytes a second, round by round.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use holdfast_erasure::{
    Decoder, Encoder, Place, PresentShard, Run, Scheme, StripeSums, StripeVersion, Workspace,
    kernel_name, measure,
};
use reed_solomon_simd::ReedSolomonEncoder;

const SHARD_BYTES: usize = 256 << 10;
/// Runs of a paged KV cache: one layer of a small page.
const SHORT_RUN_BYTES: usize = 4 << 10;
/// Blocks that do not fit into caches together.
const MEMORY_BLOCKS: usize = 96;
/// What one sample takes at least.
const SAMPLE: Duration = Duration::from_millis(50);

/// Does it to one block.
type Step = Box<dyn FnMut(usize)>;

/// Something that is done to one block after the other.
struct Measure {
    name: String,
    blocks: usize,
    block_bytes: usize,
    step: Step,
}

/// Blocks and room for their parity.
struct Bed {
    scheme: Scheme,
    blocks: Vec<Vec<u8>>,
    parity: Vec<Vec<Vec<u8>>>,
    workspace: Workspace,
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = env::args().nth(1).map_or(Ok(11), |text| text.parse())?;
    let mut measures = Vec::new();
    for (data, parity) in [(4, 2), (8, 3)] {
        let scheme = Scheme::new(data, parity)?;
        for (set, blocks) in [("cached", 1), ("memory", MEMORY_BLOCKS)] {
            let mut add = |name: &str, step| {
                measures.push(Measure {
                    name: format!("{set}_{name}_{scheme}"),
                    blocks,
                    block_bytes: scheme.data() * SHARD_BYTES,
                    step,
                });
            };
            add("encode", encode_unsummed(Bed::new(scheme, blocks)));
            add("reed_solomon_simd", their_encode(Bed::new(scheme, blocks))?);
            add("floor", floor(Bed::new(scheme, blocks)));
            add("summed", encode(Bed::new(scheme, blocks), usize::MAX));
            add(
                "summed_short_runs",
                encode(Bed::new(scheme, blocks), SHORT_RUN_BYTES),
            );
            add("rebuild_1", rebuild(Bed::new(scheme, blocks), 1));
            add("rebuild_2", rebuild(Bed::new(scheme, blocks), 2));
        }
    }
    let mut rates = vec![Vec::with_capacity(rounds); measures.len()];
    for round in 0..=rounds {
        for (measure, rates) in measures.iter_mut().zip(&mut rates) {
            let rate = measure.sample();
            // The first round warms up.
            if round > 0 {
                rates.push(format!("{rate:.3}"));
            }
        }
    }
    println!("kernel {}", kernel_name());
    for (measure, rates) in measures.iter().zip(rates) {
        println!("{} {}", measure.name, rates.join(" "));
    }
    Ok(())
}

impl Measure {
    /// GB of block bytes a second.
    fn sample(&mut self) -> f64 {
        let begin = Instant::now();
        let mut done = 0;
        while begin.elapsed() < SAMPLE {
            (0..self.blocks).for_each(&mut self.step);
            done += self.blocks;
        }
        (done * self.block_bytes) as f64 / begin.elapsed().as_secs_f64() / 1e9
    }
}

impl Bed {
    fn new(scheme: Scheme, blocks: usize) -> Self {
        // Incompressible bytes (xorshift).
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let words = scheme.data() * SHARD_BYTES / 8;
        Self {
            scheme,
            blocks: (0..blocks)
                .map(|_| (0..words).flat_map(|_| next()).collect())
                .collect(),
            parity: vec![vec![vec![0; SHARD_BYTES]; scheme.parity()]; blocks],
            workspace: Workspace::new(),
        }
    }

    fn encode(&mut self, block: usize, run_bytes: usize) -> StripeSums {
        let mut parity = places(&mut self.parity[block]);
        let runs = runs(&mut self.blocks[block], run_bytes);
        let encoder = Encoder::of(self.scheme);
        // SAFETY: block and parity are the bed's.
        let sums = unsafe { encoder.encode_block(&mut self.workspace, runs, &mut parity) };
        sums.expect("sizes that fit")
    }
}

fn places(shards: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    shards.iter_mut().map(Vec::as_mut_slice).collect()
}

fn runs(block: &mut [u8], run_bytes: usize) -> impl Iterator<Item = Run> {
    block.chunks_mut(run_bytes).map(|run| Run {
        address: run.as_mut_ptr(),
        bytes: run.len(),
    })
}

fn encode(mut bed: Bed, run_bytes: usize) -> Step {
    Box::new(move |block| {
        black_box(bed.encode(block, run_bytes));
    })
}

fn encode_unsummed(mut bed: Bed) -> Step {
    Box::new(move |block| {
        let mut parity = places(&mut bed.parity[block]);
        let runs = runs(&mut bed.blocks[block], usize::MAX);
        let encoder = Encoder::of(bed.scheme);
        // SAFETY: block and parity are the bed's.
        let made =
            unsafe { measure::encode_unsummed(encoder, &mut bed.workspace, runs, &mut parity) };
        made.expect("sizes that fit");
    })
}

/// Its parity stays in memory of its own, so that it writes less than the others.
fn their_encode(bed: Bed) -> Result<Step, Box<dyn Error>> {
    let (data, parity) = (bed.scheme.data(), bed.scheme.parity());
    let mut encoder = ReedSolomonEncoder::new(data, parity, SHARD_BYTES)?;
    Ok(Box::new(move |block| {
        for shard in bed.blocks[block].chunks(SHARD_BYTES) {
            encoder
                .add_original_shard(shard)
                .expect("a shard that fits");
        }
        let made = encoder.encode().expect("all shards were given");
        black_box(made.recovery(0));
    }))
}

/// What cannot be done without: data shards are read, parity shards are written.
fn floor(mut bed: Bed) -> Step {
    Box::new(move |block| {
        let words = bed.blocks[block].as_chunks::<8>().0.iter();
        let read = words.fold(0, |sum, word| sum ^ u64::from_ne_bytes(*word));
        for shard in &mut bed.parity[block] {
            shard.fill(read as u8);
        }
        black_box(&bed.parity[block]);
    })
}

/// The first `lost` data shards come from parity, the others are in their places.
fn rebuild(mut bed: Bed, lost: usize) -> Step {
    let scheme = bed.scheme;
    let sums: Vec<StripeSums> = (0..bed.blocks.len())
        .map(|block| bed.encode(block, usize::MAX))
        .collect();
    Box::new(move |block| {
        let sums = &sums[block];
        let version = StripeVersion {
            scheme,
            block_bytes: bed.blocks[block].len() as u32,
            block_sum: sums.block,
        };
        let present: Vec<PresentShard<'_>> = (lost..scheme.data() + lost)
            .map(|index| PresentShard {
                tail: version.tail(index),
                sum: sums.shards[index],
                place: match index.checked_sub(scheme.data()) {
                    None => Place::InBlock,
                    Some(number) => Place::At(&bed.parity[block][number]),
                },
            })
            .collect();
        let runs = runs(&mut bed.blocks[block], usize::MAX);
        let decoder = Decoder::of(scheme);
        // SAFETY: block and parity are the bed's.
        let rebuilt =
            unsafe { decoder.rebuild_block(&mut bed.workspace, &version, runs, &present) };
        black_box(rebuilt.expect("as it was written"));
    })
}
