//! Every scheme of up to 8+4 shards, every loss that it survives, and one more.

mod support;

use holdfast_erasure::{Decoder, ErasureError, PresentShard, Scheme, Workspace};
use support::{Scattered, encode, noise, present, reference, version};

#[test]
fn whatever_a_scheme_survives_comes_back() {
    let mut workspace = Workspace::new();
    for (data, parity) in (1..=8).flat_map(|data| (1..=4).map(move |parity| (data, parity))) {
        let scheme = Scheme::new(data, parity).expect("a scheme");
        // Not a multiple of anything, so that the last shard has padding.
        let block = noise(scheme.data() * 128 - 67.min(scheme.data() * 9), 7);
        let mut source = Scattered::new(&block, &[block.len() / 3, block.len() / 2]);
        let (parity_shards, sums) = encode(scheme, &mut source);
        let shards = reference(scheme, &block);
        assert_eq!(parity_shards, shards[scheme.data()..], "{scheme}");
        let version = version(scheme, block.len(), &sums);
        for lost in 0..1u32 << scheme.shards() {
            let is_lost = |index: usize| lost >> index & 1 == 1;
            let kept: Vec<PresentShard<'_>> = (0..scheme.shards())
                .filter(|index| !is_lost(*index))
                .map(|index| {
                    let at = (index >= scheme.data()).then_some(shards[index].as_slice());
                    present(&version, &sums, index, at)
                })
                .collect();
            let mut place = Scattered::new(&block, &[block.len() / 5]);
            for index in (0..scheme.data()).filter(|index| is_lost(*index)) {
                let begin = index * scheme.shard_bytes(block.len());
                place.spoil(begin, begin + scheme.used_bytes(block.len(), index));
            }
            let decoder = Decoder::of(scheme);
            // SAFETY: the block is this thread's.
            let rebuilt =
                unsafe { decoder.rebuild_block(&mut workspace, &version, place.runs(), &kept) };
            if lost.count_ones() as usize > scheme.parity() {
                let found = kept.len();
                assert_eq!(rebuilt, Err(ErasureError::TooFewShards { found, scheme }));
                continue;
            }
            let case = format!("{scheme} without {lost:b}");
            assert_eq!(
                rebuilt.as_deref(),
                Ok(&sums.shards[..scheme.data()]),
                "{case}"
            );
            assert_eq!(place.block(), block, "{case}");
            assert!(place.gaps_are_whole(), "{case}");
        }
    }
}

#[test]
fn every_shard_comes_from_any_others() {
    let mut workspace = Workspace::new();
    for (data, parity) in (1..=8).flat_map(|data| (1..=4).map(move |parity| (data, parity))) {
        let scheme = Scheme::new(data, parity).expect("a scheme");
        let block = noise(scheme.data() * 64 - 5, 8);
        let (_, sums) = encode(scheme, &mut Scattered::new(&block, &[]));
        let shards = reference(scheme, &block);
        let version = version(scheme, block.len(), &sums);
        let sets = (0..1u32 << scheme.shards()).filter(|set| set.count_ones() == u32::from(data));
        for set in sets {
            let kept: Vec<PresentShard<'_>> = (0..scheme.shards())
                .filter(|index| set >> index & 1 == 1)
                .map(|index| present(&version, &sums, index, Some(&shards[index])))
                .collect();
            for (index, shard) in shards.iter().enumerate() {
                let mut rebuilt = vec![0; version.shard_bytes()];
                let sum = Decoder::of(scheme).rebuild_shard(
                    &mut workspace,
                    &version.tail(index),
                    &kept,
                    &mut rebuilt,
                );
                assert_eq!(
                    sum,
                    Ok(sums.shards[index]),
                    "{scheme}: {index} from {set:b}"
                );
                assert_eq!(rebuilt, *shard, "{scheme}: {index} from {set:b}");
            }
        }
    }
}
