//! What is refused, and how it is said; batches and threads.

mod support;

use holdfast_erasure::{
    Decoder, Encoder, ErasureError, PresentShard, Run, Scheme, StripeSums, StripeVersion, Workspace,
};
use support::{Scattered, encode, noise, present, reference, version};

const BLOCK_BYTES: usize = 1_000;

struct Stripe {
    shards: Vec<Vec<u8>>,
    sums: StripeSums,
    version: StripeVersion,
    block: Vec<u8>,
}

fn scheme() -> Scheme {
    Scheme::new(4, 2).expect("a scheme")
}

fn stripe(seed: u64) -> Stripe {
    let block = noise(BLOCK_BYTES, seed);
    let (_, sums) = encode(scheme(), &mut Scattered::new(&block, &[]));
    Stripe {
        shards: reference(scheme(), &block),
        version: version(scheme(), BLOCK_BYTES, &sums),
        sums,
        block,
    }
}

impl Stripe {
    fn present(&self, indices: &[usize]) -> Vec<PresentShard<'_>> {
        let one = |index: &usize| {
            present(
                &self.version,
                &self.sums,
                *index,
                Some(&self.shards[*index]),
            )
        };
        indices.iter().map(one).collect()
    }

    fn rebuild(&self, present: &[PresentShard<'_>]) -> Result<Vec<u8>, ErasureError> {
        let mut place = Scattered::new(&vec![0; BLOCK_BYTES], &[]);
        let decoder = Decoder::of(scheme());
        // SAFETY: the block is this thread's.
        unsafe {
            decoder.rebuild_block(&mut Workspace::new(), &self.version, place.runs(), present)
        }?;
        Ok(place.block())
    }
}

#[test]
fn shards_of_unlike_versions_are_never_mixed() {
    let (one, other) = (stripe(1), stripe(2));
    let mut mixed = one.present(&[0, 1, 2]);
    mixed.extend(other.present(&[3, 4]));
    assert_eq!(
        one.rebuild(&mixed),
        Err(ErasureError::UnlikeVersion { index: 3 })
    );
    mixed.truncate(3);
    mixed.extend(one.present(&[5]));
    assert_eq!(one.rebuild(&mixed), Ok(one.block.clone()));
}

#[test]
fn a_wrong_shard_is_noticed_from_end_to_end() {
    let stripe = stripe(3);
    // Read whole, but not what its writer wrote: every sum on the way was right.
    let mut wrong = stripe.shards[5].clone();
    wrong[17] ^= 1;
    let mut kept = stripe.present(&[0, 1, 2]);
    kept.push(present(&stripe.version, &stripe.sums, 5, Some(&wrong)));
    assert!(matches!(
        stripe.rebuild(&kept),
        Err(ErasureError::WrongBlock { expected, .. }) if expected == stripe.version.block_sum
    ));
    // Nothing to rebuild, and one sum that is another's.
    let mut all: Vec<_> = (0..4)
        .map(|index| present(&stripe.version, &stripe.sums, index, None))
        .collect();
    all[2].sum ^= 1;
    assert!(matches!(
        stripe.rebuild(&all),
        Err(ErasureError::WrongBlock { .. })
    ));
}

#[test]
fn what_is_missing_twice_or_of_another_size_is_named() {
    let stripe = stripe(4);
    let scheme = scheme();
    assert_eq!(
        stripe.rebuild(&stripe.present(&[0, 3, 5])),
        Err(ErasureError::TooFewShards { found: 3, scheme })
    );
    assert_eq!(
        stripe.rebuild(&stripe.present(&[0, 1, 2, 1])),
        Err(ErasureError::Twice { index: 1 })
    );
    let mut parity_in_block = stripe.present(&[0, 1, 2]);
    parity_in_block.push(present(&stripe.version, &stripe.sums, 4, None));
    assert_eq!(
        stripe.rebuild(&parity_in_block),
        Err(ErasureError::ParityInBlock { index: 4, scheme })
    );
    let short = present(
        &stripe.version,
        &stripe.sums,
        2,
        Some(&stripe.shards[2][..64]),
    );
    assert_eq!(
        stripe.rebuild(&[short]),
        Err(ErasureError::ShardBytes {
            index: 2,
            found: 64,
            expected: 256
        })
    );
    let mut foreign = stripe.present(&[0]);
    foreign[0].tail.index = 6;
    assert_eq!(
        stripe.rebuild(&foreign),
        Err(ErasureError::NoSuchShard { index: 6, scheme })
    );
    let found = Scheme::new(5, 2).expect("a scheme");
    let other = StripeVersion {
        scheme: found,
        ..stripe.version
    };
    let mut shard = vec![0; 256];
    let rebuilt =
        Decoder::of(scheme).rebuild_shard(&mut Workspace::new(), &other.tail(0), &[], &mut shard);
    assert_eq!(
        rebuilt,
        Err(ErasureError::UnlikeScheme {
            found,
            expected: scheme
        })
    );
}

#[test]
fn blocks_and_parity_of_another_size_are_refused() {
    let encoder = Encoder::of(scheme());
    let mut workspace = Workspace::new();
    let mut memory = noise(BLOCK_BYTES, 5);
    let run = Run {
        address: memory.as_mut_ptr(),
        bytes: memory.len(),
    };
    let mut parity = vec![vec![0; 256]; 3];
    let mut encode = |runs: &[Run], shards: usize, bytes: usize| {
        let places = parity[..shards].iter_mut();
        let mut places: Vec<&mut [u8]> = places.map(|shard| &mut shard[..bytes]).collect();
        // SAFETY: block and parity are this thread's.
        unsafe { encoder.encode_block(&mut workspace, runs.iter().copied(), &mut places) }
    };
    assert!(matches!(
        encode(&[], 2, 256),
        Err(ErasureError::BlockBytes { found: 0, .. })
    ));
    let scheme = scheme();
    assert_eq!(
        encode(&[run], 3, 256),
        Err(ErasureError::ParityShards { found: 3, scheme })
    );
    assert_eq!(
        encode(&[run], 2, 192),
        Err(ErasureError::ShardBytes {
            index: 4,
            found: 192,
            expected: 256
        })
    );
    assert!(encode(&[run], 2, 256).is_ok());
}

#[test]
fn a_batch_is_its_blocks_one_after_the_other() {
    let encoder = Encoder::of(scheme());
    let mut blocks: Vec<Scattered> = (0..5)
        .map(|seed| Scattered::new(&noise(BLOCK_BYTES, seed), &[77, 400]))
        .collect();
    let alone: Vec<_> = blocks
        .iter_mut()
        .map(|block| encode(scheme(), block))
        .collect();
    let mut parity = vec![vec![vec![0; 256]; 2]; blocks.len()];
    let mut places: Vec<Vec<&mut [u8]>> = parity
        .iter_mut()
        .map(|stripe| stripe.iter_mut().map(Vec::as_mut_slice).collect())
        .collect();
    let batch = blocks.iter_mut().zip(&mut places);
    let batch = batch.map(|(block, places)| (block.runs(), places.as_mut_slice()));
    // SAFETY: blocks and parity are this thread's.
    let sums =
        unsafe { encoder.encode_batch(&mut Workspace::new(), batch) }.expect("sizes that fit");
    let together: Vec<_> = parity.into_iter().zip(sums).collect();
    assert_eq!(together, alone);
}

#[test]
fn threads_share_one_decoder() {
    let stripe = stripe(6);
    let pairs = (0..6).flat_map(|one| (one + 1..6).map(move |other| (one, other)));
    std::thread::scope(|scope| {
        for (one, other) in pairs {
            let stripe = &stripe;
            scope.spawn(move || {
                let kept: Vec<usize> = (0..6)
                    .filter(|index| ![one, other].contains(index))
                    .collect();
                for _ in 0..20 {
                    assert_eq!(
                        stripe.rebuild(&stripe.present(&kept)),
                        Ok(stripe.block.clone())
                    );
                }
            });
        }
    });
}
