//! Random schemes, sizes, places and losses against the definition. Proptest prints the case that
//! fails, and keeps its seed.

mod support;

use holdfast_erasure::{Decoder, PresentShard, SHARD_TAIL_BYTES, Scheme, Workspace};
use holdfast_wire::checksum::crc32c;
use proptest::prelude::*;
use support::{Scattered, encode, noise, present, reference, version};

/// Sizes of blocks that are awkward for k data shards.
fn block_bytes(data: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(1),
        Just(data.max(2) - 1),
        Just(64 * data),
        Just(64 * data + 1),
        prop::sample::select(vec![2, 61, 257, 4_099, 65_537, 104_729]),
        1..3_000_usize,
        100_000..300_000_usize,
    ]
}

#[derive(Debug, Clone)]
struct Case {
    scheme: Scheme,
    bytes: usize,
    seed: u64,
    cuts: Vec<usize>,
    /// Shards in the order in which they are lost, the first few of them.
    order: Vec<usize>,
    lost: usize,
    /// Shards that do not lie in the block though they could.
    elsewhere: u64,
}

fn cuts(parts: &[f64], every: usize, bytes: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = parts
        .iter()
        .map(|part| (part * bytes as f64) as usize)
        .collect();
    cuts.extend((0..bytes).step_by(every).skip(1));
    cuts.sort_unstable();
    cuts
}

fn case() -> impl Strategy<Value = Case> {
    (1..=32_u8, 1..=8_u8).prop_flat_map(|(data, parity)| {
        let scheme = Scheme::new(data, parity).expect("a scheme");
        (
            block_bytes(scheme.data()),
            any::<u64>(),
            prop::collection::vec(0.0..=1.0f64, 0..6),
            prop::sample::select(vec![1_000, 4_096, 16_384, 1 << 30]),
            Just((0..scheme.shards()).collect::<Vec<_>>()).prop_shuffle(),
            0..=scheme.parity(),
            any::<u64>(),
        )
            .prop_map(
                move |(bytes, seed, parts, every, order, lost, elsewhere)| Case {
                    scheme,
                    bytes,
                    seed,
                    cuts: cuts(&parts, every, bytes),
                    order,
                    lost,
                    elsewhere,
                },
            )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn encoded_as_defined_and_rebuilt_as_written(case in case()) {
        let Case { scheme, bytes, .. } = case;
        let block = noise(bytes, case.seed);
        let mut source = Scattered::new(&block, &case.cuts);
        let (parity, sums) = encode(scheme, &mut source);
        let shards = reference(scheme, &block);
        prop_assert!(source.gaps_are_whole());
        prop_assert_eq!(&parity, &shards[scheme.data()..]);
        prop_assert_eq!(sums.block, crc32c(&block));
        for (shard, sum) in shards.iter().zip(&sums.shards) {
            prop_assert_eq!(crc32c(shard), *sum);
        }

        let version = version(scheme, bytes, &sums);
        let kept = &case.order[case.lost..];
        let in_block = |index: usize| index < scheme.data() && case.elsewhere >> index & 1 == 0;
        let present: Vec<PresentShard<'_>> = kept
            .iter()
            .map(|index| {
                let at = (!in_block(*index)).then_some(shards[*index].as_slice());
                present(&version, &sums, *index, at)
            })
            .collect();
        let mut place = Scattered::new(&block, &case.cuts);
        for index in 0..scheme.data() {
            if !kept.contains(&index) || !in_block(index) {
                let begin = index * scheme.shard_bytes(bytes);
                place.spoil(begin, begin + scheme.used_bytes(bytes, index));
            }
        }
        let decoder = Decoder::of(scheme);
        // SAFETY: the block is this thread's.
        let rebuilt = unsafe {
            decoder.rebuild_block(&mut Workspace::new(), &version, place.runs(), &present)
        };
        prop_assert_eq!(rebuilt.as_deref(), Ok(&sums.shards[..scheme.data()]));
        prop_assert!(place.block() == block);
        prop_assert!(place.gaps_are_whole());
    }

    #[test]
    fn sums_of_parts_and_wholes(case in case()) {
        let Case { scheme, bytes, .. } = case;
        let block = noise(bytes, case.seed);
        let (_, sums) = encode(scheme, &mut Scattered::new(&block, &case.cuts));
        let version = version(scheme, bytes, &sums);
        let shards = reference(scheme, &block);
        prop_assert_eq!(scheme.block_sum(bytes, &sums.shards[..scheme.data()]), crc32c(&block));
        for (index, shard) in shards.iter().enumerate() {
            let tail = version.tail(index);
            let mut chunk = shard.clone();
            chunk.extend(tail.encode());
            prop_assert_eq!(chunk.len(), version.chunk_bytes());
            prop_assert_eq!(chunk.len(), shard.len() + SHARD_TAIL_BYTES);
            prop_assert_eq!(tail.chunk_sum(sums.shards[index]), crc32c(&chunk));
            prop_assert_eq!(tail.shard_sum(crc32c(&chunk)), sums.shards[index]);
            if index < scheme.data() {
                let used = crc32c(&shard[..scheme.used_bytes(bytes, index)]);
                prop_assert_eq!(scheme.used_sum(bytes, index, sums.shards[index]), used);
                prop_assert_eq!(scheme.shard_sum(bytes, index, used), sums.shards[index]);
            }
        }
    }
}
