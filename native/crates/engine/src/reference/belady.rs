use std::collections::{BTreeSet, HashMap};

/// Never used again.
const NEVER: u64 = u64::MAX;

/// Hits of Belady's policy: it knows the future, evicts what is used last, and does not admit
/// what would be that itself.
#[must_use]
pub fn belady_hits(requests: &[&[u64]], capacity_blocks: u64) -> u64 {
    let next_uses = next_uses(requests);
    let mut stored: HashMap<u64, u64> = HashMap::new();
    let mut by_next: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut at = 0;
    let mut hits = 0;
    for request in requests {
        let is_stored = |block: &&u64| stored.contains_key(block);
        hits += request.iter().take_while(is_stored).count() as u64;
        for &block in *request {
            let next = next_uses[at];
            at += 1;
            if let Some(before) = stored.remove(&block) {
                by_next.remove(&(before, block));
            }
            if next == NEVER {
                continue;
            }
            if stored.len() as u64 >= capacity_blocks {
                match by_next.last() {
                    Some(&(last, victim)) if last > next => {
                        by_next.remove(&(last, victim));
                        stored.remove(&victim);
                    }
                    _ => continue,
                }
            }
            stored.insert(block, next);
            by_next.insert((next, block));
        }
    }
    hits
}

/// For each reference the number of the request that uses the block next.
fn next_uses(requests: &[&[u64]]) -> Vec<u64> {
    let mut next: HashMap<u64, u64> = HashMap::new();
    let mut uses = Vec::new();
    for (number, request) in requests.iter().enumerate().rev() {
        for &block in request.iter().rev() {
            uses.push(next.insert(block, number as u64).unwrap_or(NEVER));
        }
    }
    uses.reverse();
    uses
}
