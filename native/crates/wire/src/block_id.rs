/// What the data plane knows a block by: 16 bytes of keyed hash.
pub type BlockId = [u8; 16];

/// Context of the key derivation; a new form of id needs a new string.
const CONTEXT: &str = "holdfast block id v1";

/// The hash key of one space, from which the ids of its blocks are made.
#[derive(Clone)]
pub struct SpaceKey {
    key: [u8; 32],
}

impl SpaceKey {
    /// Derives the key: `blake3::derive_key(CONTEXT, cluster || tenant || space)`.
    #[must_use]
    pub fn new(cluster: &[u8; 16], tenant: u32, space: u32) -> Self {
        let mut material = [0u8; 24];
        material[..16].copy_from_slice(cluster);
        material[16..20].copy_from_slice(&tenant.to_le_bytes());
        material[20..].copy_from_slice(&space.to_le_bytes());
        Self {
            key: blake3::derive_key(CONTEXT, &material),
        }
    }

    /// The id of the block that the caller calls `key`: the first 16 bytes of the keyed BLAKE3.
    #[must_use]
    pub fn block_id(&self, key: &[u8]) -> BlockId {
        let hash = blake3::keyed_hash(&self.key, key);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        id
    }
}

/// The placement group of a block: its first eight bytes scaled to the number of groups.
///
/// Doubling `group_count` splits each group into two neighbours, so a split moves nothing.
#[must_use]
pub fn group_of(id: &BlockId, group_count: u32) -> u32 {
    let mut head = [0; 8];
    head.copy_from_slice(&id[..8]);
    ((u128::from(u64::from_le_bytes(head)) * u128::from(group_count)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_cluster_tenant_space_and_key() {
        let id = |cluster: u8, tenant, space, key: &[u8]| {
            SpaceKey::new(&[cluster; 16], tenant, space).block_id(key)
        };
        let first = id(1, 2, 3, b"key");
        assert_eq!(first, id(1, 2, 3, b"key"));
        for other in [
            id(0, 2, 3, b"key"),
            id(1, 3, 2, b"key"),
            id(1, 2, 4, b"key"),
            id(1, 2, 3, b"kez"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_split_halves_each_group() {
        for seed in 0..1000u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            assert_eq!(group_of(&id, 400), group_of(&id, 800) / 2);
        }
    }
}
