/// What is known of the chunks of one key.
///
/// A *slot* is one of the k + m places where a chunk's bytes come to lie. A *candidate* is a node
/// to ask, by its ordinal in the map's order: owners first, then previous owners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StripeKey {
    /// Candidates that were asked or passed over.
    asked: u128,
    /// Slots whose answer is still out.
    open: u64,
    /// Open slots whose node takes longer than it usually does.
    late: u64,
    /// Reads: slots whose chunk is there. Puts: slots whose node stored it, or has it.
    held: u64,
    /// Puts: slots whose node has stored it, in this try or one before.
    stored: u64,
}

impl StripeKey {
    pub(crate) fn is_asked(&self, ordinal: usize) -> bool {
        self.asked & (1 << ordinal) != 0
    }

    /// Nothing comes of this candidate.
    pub(crate) fn pass_over(&mut self, ordinal: usize) {
        self.asked |= 1 << ordinal;
    }

    /// A candidate is asked for the chunk of a slot.
    pub(crate) fn ask(&mut self, ordinal: usize, slot: usize) {
        self.asked |= 1 << ordinal;
        self.open |= 1 << slot;
    }

    /// Whether a chunk may be asked for into a slot.
    pub(crate) fn is_free(&self, slot: usize) -> bool {
        (self.open | self.held) & (1 << slot) == 0
    }

    /// The answer for a slot is there; `held` says that its chunk is.
    pub(crate) fn answered(&mut self, slot: usize, held: bool) {
        self.open &= !(1 << slot);
        self.late &= !(1 << slot);
        self.held |= u64::from(held) << slot;
    }

    /// A put's chunk was stored.
    pub(crate) fn note_stored(&mut self, slot: usize) {
        self.stored |= 1 << slot;
    }

    /// The node of a slot takes long: others are asked as if it would not answer.
    pub(crate) fn note_late(&mut self, slot: usize) {
        self.late |= self.open & (1 << slot);
    }

    /// Whether the answer for a slot is out and its node not known to be late.
    pub(crate) fn is_expected(&self, slot: usize) -> bool {
        self.open & !self.late & (1 << slot) != 0
    }

    /// Chunks that may be expected soon.
    pub(crate) fn expected(&self) -> usize {
        (self.open & !self.late).count_ones() as usize
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open != 0
    }

    pub(crate) fn held(&self) -> usize {
        self.held.count_ones() as usize
    }

    pub(crate) fn held_slots(&self) -> impl Iterator<Item = usize> + use<> {
        bits(self.held)
    }

    pub(crate) fn stored_slots(&self) -> impl Iterator<Item = usize> + use<> {
        bits(self.stored)
    }

    /// No answer is waited for any more.
    pub(crate) fn close(&mut self) {
        (self.open, self.late) = (0, 0);
    }

    /// A read by a newer map: everybody may be asked anew for what is not there.
    pub(crate) fn ask_anew(&mut self) {
        self.asked = 0;
    }

    /// Owners whose chunk is not there are asked once more.
    pub(crate) fn start_over(&mut self) {
        *self = Self {
            held: self.held,
            stored: self.stored,
            ..Self::default()
        };
    }
}

fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = mask
            .checked_ilog2()
            .map(|_| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(lowest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_slot_is_not_expected_and_still_counts_when_it_comes() {
        let mut key = StripeKey::default();
        for slot in [0, 3, 39] {
            key.ask(slot, slot);
        }
        assert_eq!((key.expected(), key.held()), (3, 0));
        key.note_late(3);
        key.note_late(5);
        assert_eq!(key.expected(), 2);
        key.answered(3, true);
        key.answered(0, false);
        assert_eq!((key.expected(), key.held()), (1, 1));
        assert_eq!(key.held_slots().collect::<Vec<_>>(), [3]);
        assert!(key.is_free(0) && !key.is_free(3) && !key.is_free(39));
        assert!(key.is_asked(0) && !key.is_asked(1));
        key.close();
        assert!(!key.is_open() && key.is_free(39));
    }

    #[test]
    fn a_put_that_starts_over_remembers_what_it_stored() {
        let mut key = StripeKey::default();
        key.ask(1, 1);
        key.answered(1, true);
        key.note_stored(1);
        key.ask(2, 2);
        key.start_over();
        assert!(key.is_free(2) && !key.is_free(1) && !key.is_asked(2));
        assert_eq!(key.stored_slots().collect::<Vec<_>>(), [1]);
    }
}
