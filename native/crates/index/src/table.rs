use std::io;
use std::slice;

use crate::bucket::{BUCKET_ENTRIES, Bucket};
use crate::memory::{AnonymousMap, prefetch};

/// Entries per hundred places above which the table begins to grow.
const LOAD_PERCENT_MAX: u64 = 95;
/// Buckets of the smallest table.
const BUCKETS_MIN: u32 = 64;
/// A growth adds one part in this many.
const GROWTH_PARTS: u32 = 16;
/// Old buckets carried over by each insertion while the table grows. A growth adds room for
/// 14 * 0.95 / 16 = 0.8 entries for each old bucket, so it ends long before the next one.
const BUCKETS_CARRIED: u32 = 2;
/// Entries pushed around by one insertion before it gives up.
const MOVES_MAX: u32 = 500;

/// Number of a place where a block's record lies, below [`SLOTS_MAX`].
pub type Slot = u32;

/// Slots that a table can tell apart (28 bits).
pub const SLOTS_MAX: u64 = 1 << 28;

/// How the table learns the hash of a slot that it holds, when it must move the entry.
pub trait SlotHashes {
    /// Hash of the id in the slot.
    fn hash_of(&self, slot: Slot) -> u64;
    /// Tells that `hash_of(slot)` comes soon.
    fn prefetch(&self, slot: Slot);
}

/// Where one id can lie: two buckets and a tag.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    first: u32,
    second: u32,
    tag: u8,
}

/// Open addressing over buckets of one cache line, two choices for each entry (a cuckoo table).
///
/// It grows in place, a sixteenth at a time, without a stall and without a second table: a bucket's
/// number is the hash scaled to the number of buckets, so buckets lie in the order of the hash,
/// and stretching the table moves every entry to the right or not at all. Old buckets are carried
/// over from the last to the first, two with each insertion; `old_left` of them are still where
/// they were.
#[derive(Debug)]
pub struct Table {
    memory: AnonymousMap,
    buckets_max: u32,
    buckets: u32,
    buckets_old: u32,
    old_left: u32,
    entries: u64,
    turn: u32,
    /// Entries that found no place when their bucket was carried over; nearly always empty.
    aside: Vec<Slot>,
}

impl Table {
    /// A table that can grow to `entries_max`, with room for `entries` from the start.
    ///
    /// What is there from the start is made resident now, on huge pages if they are asked for. A
    /// table that grows uses small pages: the first touch of a huge one takes milliseconds.
    ///
    /// # Errors
    /// What the kernel said when it refused the address space.
    pub fn new(entries_max: u64, entries: u64, huge_pages: bool) -> io::Result<Self> {
        // Room for one more growth step than the last that is needed.
        let buckets_max = buckets_for(entries_max).max(BUCKETS_MIN);
        let buckets_max = buckets_max + buckets_max / GROWTH_PARTS + 1;
        let bytes = buckets_max as usize * size_of::<Bucket>();
        let buckets = buckets_for(entries).clamp(BUCKETS_MIN, buckets_max);
        let memory = AnonymousMap::new(bytes, huge_pages && entries > 0)?;
        memory.populate(buckets as usize * size_of::<Bucket>());
        Ok(Self {
            memory,
            buckets_max,
            buckets,
            buckets_old: buckets,
            old_left: 0,
            entries: 0,
            turn: 0,
            aside: Vec::new(),
        })
    }

    /// Entries held.
    pub fn len(&self) -> u64 {
        self.entries
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Memory that the table occupies now, bytes.
    pub fn bytes(&self) -> u64 {
        let bytes = self.buckets as usize * size_of::<Bucket>();
        bytes.next_multiple_of(self.memory.page_bytes()) as u64
    }

    /// Where an id of this hash lies, valid until the next insertion. Begins to fetch it.
    #[inline]
    pub fn probe(&self, hash: u64) -> Probe {
        let probe = self.place(hash);
        prefetch(self.bucket_ptr(probe.first));
        prefetch(self.bucket_ptr(probe.second));
        probe
    }

    #[inline]
    fn place(&self, hash: u64) -> Probe {
        let (low, high) = (hash as u32, (hash >> 32) as u32);
        Probe {
            first: self.bucket_of(low),
            second: self.bucket_of(high),
            tag: (low ^ high.rotate_left(5)) as u8,
        }
    }

    #[inline]
    fn bucket_of(&self, half: u32) -> u32 {
        let old = scale(half, self.buckets_old);
        if old < self.old_left {
            old
        } else {
            scale(half, self.buckets)
        }
    }

    #[inline]
    fn bucket_ptr(&self, number: u32) -> *const Bucket {
        // SAFETY: numbers stay below `buckets`, which stays within the mapping.
        unsafe {
            self.memory
                .as_ptr()
                .cast::<Bucket>()
                .add(number as usize)
                .cast_const()
        }
    }

    #[inline]
    fn bucket(&self, number: u32) -> &Bucket {
        debug_assert!(number < self.buckets);
        // SAFETY: in the mapping (see `bucket_ptr`), page aligned, any bytes are a bucket, and
        // the borrow of self guards it.
        unsafe { &*self.bucket_ptr(number) }
    }

    #[inline]
    fn bucket_mut(&mut self, number: u32) -> &mut Bucket {
        // SAFETY: as in `bucket`, through an exclusive borrow of self.
        unsafe {
            let buckets = self.memory.as_ptr().cast::<Bucket>();
            &mut slice::from_raw_parts_mut(buckets, self.buckets as usize)[number as usize]
        }
    }

    /// First slot with the probe's tag, to be fetched before [`Table::find`] compares ids.
    #[inline]
    pub fn first_candidate(&self, probe: Probe) -> Option<Slot> {
        for number in [probe.first, probe.second] {
            let bucket = self.bucket(number);
            let matches = bucket.matches(probe.tag);
            if matches != 0 {
                return Some(bucket.slot(matches.trailing_zeros() as usize));
            }
        }
        None
    }

    /// The slot for which `is_it` holds, among those that the probe leads to.
    #[inline]
    pub fn find(&self, probe: Probe, mut is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        for number in [probe.first, probe.second] {
            let bucket = self.bucket(number);
            let mut matches = bucket.matches(probe.tag);
            while matches != 0 {
                let slot = bucket.slot(matches.trailing_zeros() as usize);
                if is_it(slot) {
                    return Some(slot);
                }
                matches &= matches - 1;
            }
            if probe.first == probe.second {
                break;
            }
        }
        self.aside.iter().copied().find(|&slot| is_it(slot))
    }

    /// Adds a slot whose id has this hash; the caller knows that it is not there.
    ///
    /// False when no place was found, which takes thousands of colliding ids.
    pub fn insert(&mut self, hash: u64, slot: Slot, hashes: &impl SlotHashes) -> bool {
        self.grow(hashes);
        let placed = self.settle(hash, slot, hashes);
        self.entries += u64::from(placed);
        placed
    }

    /// Takes a slot out; the caller knows that it is there.
    ///
    /// # Panics
    /// When it is not.
    pub fn remove(&mut self, hash: u64, slot: Slot) {
        let probe = self.place(hash);
        for number in [probe.first, probe.second] {
            let bucket = self.bucket_mut(number);
            let mut matches = bucket.matches(probe.tag);
            while matches != 0 {
                let entry = matches.trailing_zeros() as usize;
                if bucket.slot(entry) == slot {
                    bucket.take(entry);
                    self.entries -= 1;
                    return;
                }
                matches &= matches - 1;
            }
        }
        let aside = self.aside.iter().position(|&other| other == slot);
        let at = aside.expect("a slot that is removed is in the index");
        self.aside.swap_remove(at);
        self.entries -= 1;
    }

    /// Puts an entry into the emptier of its buckets, pushing others to their second choice when
    /// both are full. On failure everything pushed goes back to where it was.
    fn settle(&mut self, hash: u64, slot: Slot, hashes: &impl SlotHashes) -> bool {
        let probe = self.place(hash);
        let counts = [probe.first, probe.second].map(|number| self.bucket(number).count());
        let choice = if counts[1] < counts[0] {
            probe.second
        } else {
            probe.first
        };
        if self.bucket_mut(choice).push(probe.tag, slot) {
            return true;
        }
        let mut path: Vec<(u32, usize)> = Vec::new();
        let (mut number, mut tag, mut homeless) = (choice, probe.tag, slot);
        for _ in 0..MOVES_MAX {
            self.turn = self.turn.wrapping_mul(5).wrapping_add(0x9E37);
            let entry = (self.turn >> 16) as usize % BUCKET_ENTRIES;
            homeless = self.bucket_mut(number).replace(entry, tag, homeless);
            path.push((number, entry));
            let probe = self.place(hashes.hash_of(homeless));
            tag = probe.tag;
            number = if number == probe.first {
                probe.second
            } else {
                probe.first
            };
            if self.bucket_mut(number).push(tag, homeless) {
                return true;
            }
        }
        for (number, entry) in path.into_iter().rev() {
            let tag = self.place(hashes.hash_of(homeless)).tag;
            homeless = self.bucket_mut(number).replace(entry, tag, homeless);
        }
        debug_assert_eq!(homeless, slot);
        false
    }

    /// Begins to grow when it is time, and carries a few old buckets over.
    fn grow(&mut self, hashes: &impl SlotHashes) {
        if self.old_left == 0 {
            let places = u64::from(self.buckets) * BUCKET_ENTRIES as u64;
            if (self.entries + 1) * 100 <= places * LOAD_PERCENT_MAX {
                return;
            }
            let step = (self.buckets / GROWTH_PARTS).max(BUCKETS_MIN / GROWTH_PARTS);
            self.buckets_old = self.buckets;
            self.buckets = (self.buckets + step).min(self.buckets_max);
            if self.buckets > self.buckets_old {
                self.old_left = self.buckets_old;
            }
        }
        for _ in 0..BUCKETS_CARRIED.min(self.old_left) {
            self.carry(hashes);
        }
    }

    /// Carries the last old bucket over to where its entries belong in the larger table.
    fn carry(&mut self, hashes: &impl SlotHashes) {
        let number = self.old_left - 1;
        let count = self.bucket(number).count();
        let mut slots = [0; BUCKET_ENTRIES];
        for (entry, slot) in slots[..count].iter_mut().enumerate() {
            *slot = self.bucket(number).slot(entry);
            hashes.prefetch(*slot);
        }
        while self.bucket(number).count() > 0 {
            self.bucket_mut(number).take(0);
        }
        self.old_left = number;
        self.prefetch_next(hashes);
        for &slot in &slots[..count] {
            // There was a place for each before and there are more now; should the pushing
            // around fail all the same, the entry waits aside, where lookups find it too.
            if !self.settle(hashes.hash_of(slot), slot, hashes) {
                self.aside.push(slot);
            }
        }
    }

    fn prefetch_next(&self, hashes: &impl SlotHashes) {
        if let Some(number) = self.old_left.checked_sub(1) {
            let bucket = self.bucket(number);
            for entry in 0..bucket.count() {
                hashes.prefetch(bucket.slot(entry));
            }
        }
    }
}

/// Scales 32 bits of hash to a number below `count`.
#[inline]
fn scale(half: u32, count: u32) -> u32 {
    ((u64::from(half) * u64::from(count)) >> 32) as u32
}

fn buckets_for(entries: u64) -> u32 {
    let places = entries * 100 / LOAD_PERCENT_MAX + 1;
    places
        .div_ceil(BUCKET_ENTRIES as u64)
        .min(u64::from(u32::MAX / 2)) as u32
}
