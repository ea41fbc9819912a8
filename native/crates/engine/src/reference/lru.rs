use std::collections::{BTreeMap, HashMap};

/// Hits of the least-recently-used policy.
#[must_use]
pub fn lru_hits<'a>(requests: impl IntoIterator<Item = &'a [u64]>, capacity_blocks: u64) -> u64 {
    let mut touched: HashMap<u64, u64> = HashMap::new();
    let mut order: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut clock, mut hits) = (0, 0);
    for request in requests {
        let stored = |block: &&u64| touched.contains_key(block);
        hits += request.iter().take_while(stored).count() as u64;
        for &block in request {
            clock += 1;
            if let Some(before) = touched.insert(block, clock) {
                order.remove(&before);
            } else if touched.len() as u64 > capacity_blocks
                && let Some((_, oldest)) = order.pop_first()
            {
                touched.remove(&oldest);
            }
            order.insert(clock, block);
        }
    }
    hits
}
