use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that nobody can guess and no other process has: the operating system seeds the hasher.
pub(crate) fn random_number() -> u64 {
    RandomState::new().build_hasher().finish()
}
