//! A shard's tail: what is written comes back, and nothing else is taken for one.

use holdfast_erasure::{
    SHARD_TAIL_BYTES, Scheme, SchemeError, ShardTail, StripeVersion, TailError,
};
use holdfast_wire::checksum::crc32c;
use holdfast_wire::limits::BLOCK_BYTES_MAX;
use proptest::prelude::*;

prop_compose! {
    fn tail()(
        data in 1..=32_u8,
        parity in 1..=8_u8,
        shard: prop::sample::Index,
        block_bytes in 1..=BLOCK_BYTES_MAX,
        block_sum: u32,
    ) -> ShardTail {
        let scheme = Scheme::new(data, parity).expect("a scheme");
        let version = StripeVersion { scheme, block_bytes, block_sum };
        version.tail(shard.index(scheme.shards()))
    }
}

/// The tail with some bytes replaced, and its check made to match.
fn altered(at: usize, with: &[u8]) -> [u8; SHARD_TAIL_BYTES] {
    let version = StripeVersion {
        scheme: Scheme::new(4, 2).expect("a scheme"),
        block_bytes: 1000,
        block_sum: 1,
    };
    let mut bytes = version.tail(5).encode();
    bytes[at..at + with.len()].copy_from_slice(with);
    let check = crc32c(&bytes[..SHARD_TAIL_BYTES - 4]);
    bytes[SHARD_TAIL_BYTES - 4..].copy_from_slice(&check.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn tails_come_back_and_flipped_bits_do_not(tail in tail(), flip in 0..SHARD_TAIL_BYTES * 8) {
        let mut bytes = tail.encode();
        prop_assert_eq!(ShardTail::decode(&bytes), Ok(tail));
        bytes[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(ShardTail::decode(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2 * SHARD_TAIL_BYTES),
    ) {
        prop_assert!(ShardTail::decode(&bytes).is_err());
    }

    #[test]
    fn whatever_decodes_is_a_shard_of_its_scheme(
        fields in prop::collection::vec(any::<u8>(), SHARD_TAIL_BYTES - 8),
    ) {
        let mut fields = fields;
        fields[0] = 1;
        if let Ok(tail) = ShardTail::decode(&altered(4, &fields)) {
            prop_assert!(usize::from(tail.index) < tail.version.scheme.shards());
            prop_assert!((1..=BLOCK_BYTES_MAX).contains(&tail.version.block_bytes));
        }
    }
}

#[test]
fn each_rule_has_its_error() {
    let scheme = Scheme::new(4, 2).expect("a scheme");
    let found = *b"HFS2";
    assert_eq!(
        ShardTail::decode(&altered(0, &found)),
        Err(TailError::BadMagic { found })
    );
    assert_eq!(
        ShardTail::decode(&altered(4, &[2])),
        Err(TailError::Version { found: 2 })
    );
    assert_eq!(
        ShardTail::decode(&altered(5, &[33])),
        Err(TailError::Scheme(SchemeError::Data { found: 33 }))
    );
    assert_eq!(
        ShardTail::decode(&altered(6, &[0])),
        Err(TailError::Scheme(SchemeError::Parity { found: 0 }))
    );
    assert_eq!(
        ShardTail::decode(&altered(7, &[6])),
        Err(TailError::Index { found: 6, scheme })
    );
    for block_bytes in [0, BLOCK_BYTES_MAX + 1] {
        assert_eq!(
            ShardTail::decode(&altered(8, &block_bytes.to_le_bytes())),
            Err(TailError::BlockBytes {
                found: block_bytes,
                limit: BLOCK_BYTES_MAX
            })
        );
    }
    assert_eq!(
        ShardTail::decode(&[0; 31]),
        Err(TailError::Length { found: 31 })
    );
    let mut damaged = altered(0, b"");
    damaged[9] ^= 1;
    assert!(matches!(
        ShardTail::decode(&damaged),
        Err(TailError::Damaged { .. })
    ));
    // Bytes that a later version may use.
    assert!(ShardTail::decode(&altered(16, &[9; 12])).is_ok());
}
