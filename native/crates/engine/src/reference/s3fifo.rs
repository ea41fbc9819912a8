use std::collections::{HashMap, HashSet, VecDeque};

/// Uses of a block in the main queue that are counted.
const USES_MAX: u8 = 3;

/// S3-FIFO as published (Yang and others, SOSP 2023): a small queue of a tenth, a main queue,
/// and a ghost queue as long as the main one.
struct S3Fifo {
    capacity: usize,
    small_capacity: usize,
    uses: HashMap<u64, u8>,
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    ghost: VecDeque<u64>,
    ghosts: HashSet<u64>,
}

impl S3Fifo {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            small_capacity: (capacity / 10).max(1),
            uses: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            ghosts: HashSet::new(),
        }
    }

    fn touch(&mut self, block: u64) {
        if let Some(uses) = self.uses.get_mut(&block) {
            *uses = (*uses + 1).min(USES_MAX);
            return;
        }
        while self.uses.len() >= self.capacity {
            self.evict();
        }
        self.uses.insert(block, 0);
        if self.ghosts.remove(&block) {
            self.main.push_back(block);
        } else {
            self.small.push_back(block);
        }
    }

    fn evict(&mut self) {
        if self.small.len() >= self.small_capacity || self.main.is_empty() {
            self.evict_small();
        } else {
            self.evict_main();
        }
    }

    fn evict_small(&mut self) {
        while let Some(block) = self.small.pop_front() {
            if self.uses[&block] > 1 {
                self.uses.insert(block, 0);
                self.main.push_back(block);
                continue;
            }
            self.uses.remove(&block);
            self.remember(block);
            return;
        }
    }

    fn evict_main(&mut self) {
        while let Some(block) = self.main.pop_front() {
            let uses = self.uses[&block];
            if uses > 0 {
                self.uses.insert(block, uses - 1);
                self.main.push_back(block);
                continue;
            }
            self.uses.remove(&block);
            return;
        }
    }

    fn remember(&mut self, block: u64) {
        self.ghosts.insert(block);
        self.ghost.push_back(block);
        while self.ghost.len() > self.capacity - self.small_capacity {
            if let Some(oldest) = self.ghost.pop_front() {
                self.ghosts.remove(&oldest);
            }
        }
    }
}

/// Hits of S3-FIFO.
#[must_use]
pub fn s3fifo_hits<'a>(requests: impl IntoIterator<Item = &'a [u64]>, capacity_blocks: u64) -> u64 {
    let mut cache = S3Fifo::new(capacity_blocks.max(1) as usize);
    let mut hits = 0;
    for request in requests {
        let stored = |block: &&u64| cache.uses.contains_key(block);
        hits += request.iter().take_while(stored).count() as u64;
        for &block in request {
            cache.touch(block);
        }
    }
    hits
}
