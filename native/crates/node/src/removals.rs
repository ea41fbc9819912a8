//! What callers deleted of late, so that a pull does not bring it back.
//!
//! A delete goes to a block's owner and to its previous owner, and may reach the owner first: what
//! the owner then copies from the previous one is what the caller wants gone. So an owner keeps
//! every deleted id until the delete's own deadline. By then the caller has heard from every node
//! or was told that time was over; pages that were listed before that are checked as well.

use std::collections::HashMap;

use holdfast_wire::BlockId;
use parking_lot::Mutex;

/// Ids that are remembered at most: some 20 MB. While there are more, pulls keep nothing of what
/// they bring, which to a cache is a miss.
const IDS_MAX: usize = 1 << 18;
/// Ids that are looked through for outdated ones at least.
const IDS_SWEPT_MIN: usize = 1 << 10;
/// Milliseconds between looks while it is full, so that not every delete looks at every id.
const SWEEP_FULL_MS: u64 = 250;

/// Ids that were deleted and whose delete may still be under way at other nodes.
pub(crate) struct Removals {
    inner: Mutex<Inner>,
    ids_max: usize,
}

#[derive(Default)]
struct Inner {
    /// The last millisecond in which the delete may be under way, by space and id.
    until_ms: HashMap<(u32, BlockId), u64>,
    /// The same of those for which there was no room.
    lost_until_ms: u64,
    /// When the pages that are being copied were asked for.
    pages: Vec<u64>,
    /// Number of ids at which outdated ones are looked for.
    sweep_at: usize,
    /// When that may be done again.
    sweep_ms: u64,
}

/// A page of blocks that is being copied from another node.
pub(crate) struct Page<'a> {
    removals: &'a Removals,
    begun_ms: u64,
}

impl Default for Removals {
    fn default() -> Self {
        Self::with_room(IDS_MAX)
    }
}

impl Removals {
    fn with_room(ids_max: usize) -> Self {
        Self {
            inner: Mutex::default(),
            ids_max,
        }
    }

    /// Notes a delete before the engine does it, so that a copy either sees the note or is there
    /// to be deleted.
    pub(crate) fn note(&self, space: u32, ids: &[BlockId], until_ms: u64, now_ms: u64) {
        let mut inner = self.inner.lock();
        for id in ids {
            if inner.until_ms.len() >= inner.sweep_at.max(IDS_SWEPT_MIN).min(self.ids_max) {
                inner.sweep(now_ms, self.ids_max);
            }
            let has_room = inner.until_ms.len() < self.ids_max;
            if let Some(known) = inner.until_ms.get_mut(&(space, *id)) {
                *known = until_ms.max(*known);
            } else if has_room {
                inner.until_ms.insert((space, *id), until_ms);
            } else {
                inner.lost_until_ms = until_ms.max(inner.lost_until_ms);
            }
        }
    }

    /// Begins a page, before it is asked for.
    pub(crate) fn begin_page(&self, now_ms: u64) -> Page<'_> {
        self.inner.lock().pages.push(now_ms);
        Page {
            removals: self,
            begun_ms: now_ms,
        }
    }
}

impl Inner {
    fn sweep(&mut self, now_ms: u64, ids_max: usize) {
        if now_ms < self.sweep_ms {
            return;
        }
        let oldest_ms = self.pages.iter().copied().fold(now_ms, u64::min);
        self.until_ms.retain(|_, until_ms| *until_ms >= oldest_ms);
        self.sweep_at = self.until_ms.len() * 2;
        if self.until_ms.len() >= ids_max {
            self.sweep_ms = now_ms + SWEEP_FULL_MS;
        }
        self.until_ms
            .shrink_to(self.sweep_at.max(IDS_SWEPT_MIN).min(ids_max));
    }
}

impl Page<'_> {
    /// For each id whether it may have been deleted since the page was asked for, or a delete of
    /// it was under way then.
    pub(crate) fn removed(&self, space: u32, ids: impl Iterator<Item = BlockId>) -> Vec<bool> {
        let inner = self.removals.inner.lock();
        let lost = inner.lost_until_ms >= self.begun_ms;
        ids.map(|id| {
            let until_ms = inner.until_ms.get(&(space, id));
            lost || until_ms.is_some_and(|until_ms| *until_ms >= self.begun_ms)
        })
        .collect()
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let mut inner = self.removals.inner.lock();
        if let Some(at) = inner.pages.iter().position(|ms| *ms == self.begun_ms) {
            inner.pages.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: u32 = 4;

    fn id(number: u64) -> BlockId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    fn removed(page: &Page<'_>, number: u64) -> bool {
        page.removed(SPACE, std::iter::once(id(number))).remove(0)
    }

    #[test]
    fn a_page_sees_deletes_that_were_or_came_under_way() {
        let removals = Removals::default();
        removals.note(SPACE, &[id(1)], 99, 50);
        removals.note(SPACE, &[id(2)], 100, 50);
        let page = removals.begin_page(100);
        removals.note(SPACE, &[id(3)], 120, 110);
        let all: Vec<_> = (1..5).map(|number| removed(&page, number)).collect();
        assert_eq!(all, [false, true, true, false]);
        assert_eq!(page.removed(5, std::iter::once(id(2))), [false]);
    }

    #[test]
    fn outdated_ids_go_unless_a_page_is_older() {
        let removals = Removals::default();
        let page = removals.begin_page(10);
        removals.note(SPACE, &[id(0)], 20, 10);
        let ids: Vec<_> = (1..IDS_SWEPT_MIN as u64 * 8).map(id).collect();
        removals.note(SPACE, &ids, 30, 25);
        assert!(removed(&page, 0));
        drop(page);
        removals.note(SPACE, &ids, 1_000, 900);
        let more: Vec<_> = (0..IDS_SWEPT_MIN as u64 * 16)
            .map(|n| id(n << 32))
            .collect();
        removals.note(SPACE, &more, 3_000, 2_000);
        let known = removals.inner.lock().until_ms.len();
        assert_eq!(known, more.len(), "those of before are forgotten");
    }

    #[test]
    fn without_room_everything_counts_as_deleted_for_as_long() {
        let removals = Removals::with_room(2);
        removals.note(SPACE, &[id(1), id(2), id(3)], 50, 10);
        assert_eq!(removals.inner.lock().until_ms.len(), 2);
        assert!(removed(&removals.begin_page(50), 9));
        let page = removals.begin_page(51);
        assert!(!removed(&page, 9));
        removals.note(SPACE, &[id(4), id(5)], 400, 300);
        assert!(removed(&page, 4) && !removed(&page, 1));
    }
}
