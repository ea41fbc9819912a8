//! Stored bytes, pinned: parity of 4+2, its sums, and a shard's tail. A change that breaks one of
//! these tests makes what is stored unreadable.

mod support;

use holdfast_erasure::{Scheme, ShardTail, StripeVersion};
use holdfast_wire::checksum::crc32c;
use support::{Scattered, encode, factors};

/// Bytes 0, 7, 14, .. modulo 256.
fn block() -> Vec<u8> {
    (0..250u32).map(|at| (at * 7) as u8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn factors_of_four_and_two() {
    assert_eq!(factors(4, 4), [27, 28, 18, 20]);
    assert_eq!(factors(4, 5), [28, 27, 20, 18]);
}

#[test]
fn parity_and_sums_of_four_and_two() {
    let scheme = Scheme::new(4, 2).expect("a scheme");
    let (parity, sums) = encode(scheme, &mut Scattered::new(&block(), &[]));
    let drawn = [
        "696e677c754a435851565b5049467f746d6a63ece5faf3c8c1c6dfd4d9d6cfc4\
         fdfaf3e8e16a637871764f445d525f544d4a4378716e67e8e1e661f69c5faf38",
        "a9aea7bcb58a839891961b1009063f342d2a232c253a330801061f1499968f84\
         bdbab3a8a1aaa3b8b1b68f849d921f140d0a0338312e272821266fc23edf79d4",
    ];
    assert_eq!(
        parity.iter().map(|shard| hex(shard)).collect::<Vec<_>>(),
        drawn
    );
    assert_eq!(sums.block, crc32c(&block()));
    assert_eq!(hex(&sums.block.to_be_bytes()), "40646d1c");
    let drawn = [
        "fcb776a4", "f6e25f01", "d2d717f0", "6a629aff", "baefed8e", "b9807bf2",
    ];
    let shards = sums.shards.iter().map(|sum| hex(&sum.to_be_bytes()));
    assert_eq!(shards.collect::<Vec<_>>(), drawn);
}

#[test]
fn largest_scheme() {
    let scheme = Scheme::new(32, 8).expect("a scheme");
    let (parity, sums) = encode(scheme, &mut Scattered::new(&block(), &[]));
    assert_eq!(hex(&crc32c(&parity.concat()).to_be_bytes()), "bd01f967");
    assert_eq!(sums.block, crc32c(&block()));
}

#[test]
fn tail() {
    let tail = ShardTail {
        version: StripeVersion {
            scheme: Scheme::new(4, 2).expect("a scheme"),
            block_bytes: 1 << 20,
            block_sum: 0x0102_0304,
        },
        index: 5,
    };
    let drawn = "48465331010402050000100004030201000000000000000000000000df7e54fd";
    assert_eq!(hex(&tail.encode()), drawn);
    assert_eq!(ShardTail::decode(&tail.encode()), Ok(tail));
}
