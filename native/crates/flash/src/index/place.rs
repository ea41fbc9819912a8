//! Where a block lies and what reclaim remembers of it, in 64 bits.

/// Handle of a space in this store, 1 to [`SPACES_MAX`]; 0 marks a free record.
pub(crate) type SpaceHandle = u16;

/// Most spaces that one store knows at a time.
pub(crate) const SPACES_MAX: u16 = (1 << HANDLE_BITS) - 1;

/// Most touches that are counted.
pub(crate) const TOUCHES_MAX: u8 = 3;
/// Ticks after which the time of the last touch repeats.
pub(crate) const TICKS: u8 = 64;

/// Page of a block that is being written: nothing to read yet.
const WRITING: u64 = PAGE_MASK;
/// The same, of a block that was deleted meanwhile.
const DOOMED: u64 = PAGE_MASK - 1;

const PAGE_BITS: u32 = 34;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;
const HANDLE_BITS: u32 = 14;
const HANDLE_SHIFT: u32 = PAGE_BITS;
const BIRTH_SHIFT: u32 = HANDLE_SHIFT + HANDLE_BITS;
const TOUCHES_SHIFT: u32 = BIRTH_SHIFT + 8;
const TICK_SHIFT: u32 = TOUCHES_SHIFT + 2;

/// Bits 0-33: page, counted over all segments; 34-47: handle of the space; 48-55: birth in the
/// space's units; 56-57: touches; 58-63: tick of the last touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Place(u64);

impl Place {
    /// A block of the space that is about to be written.
    pub(crate) fn writing(space: SpaceHandle, birth: u8, tick: u8) -> Self {
        Self(
            WRITING
                | u64::from(space) << HANDLE_SHIFT
                | u64::from(birth) << BIRTH_SHIFT
                | u64::from(tick % TICKS) << TICK_SHIFT,
        )
    }

    /// The page; `None` while the block is written.
    #[inline]
    pub(crate) fn page(self) -> Option<u64> {
        let page = self.0 & PAGE_MASK;
        (page < DOOMED).then_some(page)
    }

    /// Whether it was deleted while it was written.
    pub(crate) fn is_doomed(self) -> bool {
        self.0 & PAGE_MASK == DOOMED
    }

    /// The same block at a page.
    pub(crate) fn at(self, page: u64) -> Self {
        debug_assert!(page < DOOMED);
        Self(self.0 & !PAGE_MASK | page)
    }

    /// The same block, deleted while it is written.
    pub(crate) fn doomed(self) -> Self {
        Self(self.0 & !PAGE_MASK | DOOMED)
    }

    /// Handle of the space.
    #[inline]
    pub(crate) fn space(self) -> SpaceHandle {
        (self.0 >> HANDLE_SHIFT) as u16 & SPACES_MAX
    }

    /// Birth in the space's units.
    #[inline]
    pub(crate) fn birth(self) -> u8 {
        (self.0 >> BIRTH_SHIFT) as u8
    }

    /// Times that it was used in ticks of their own, at most [`TOUCHES_MAX`].
    pub(crate) fn touches(self) -> u8 {
        (self.0 >> TOUCHES_SHIFT) as u8 & TOUCHES_MAX
    }

    /// Ticks since the last touch, right as long as they are fewer than [`TICKS`].
    pub(crate) fn idle_ticks(self, tick: u8) -> u8 {
        tick.wrapping_sub((self.0 >> TICK_SHIFT) as u8) % TICKS
    }

    /// The same block used at this tick. Uses in one tick count once.
    #[inline]
    pub(crate) fn touched(self, tick: u8) -> Self {
        let counted = u8::from(self.idle_ticks(tick) != 0);
        let touches = (self.touches() + counted).min(TOUCHES_MAX);
        let kept = self.0 & ((1 << TOUCHES_SHIFT) - 1);
        Self(kept | u64::from(touches) << TOUCHES_SHIFT | u64::from(tick % TICKS) << TICK_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_do_not_touch_one_another() {
        let place = Place::writing(SPACES_MAX, 200, 63);
        assert_eq!(place.page(), None);
        let place = place.at(PAGE_MASK - 2);
        assert_eq!(place.page(), Some(PAGE_MASK - 2));
        assert_eq!((place.space(), place.birth()), (SPACES_MAX, 200));
        assert_eq!((place.touches(), place.idle_ticks(63)), (0, 0));
        let touched = place.touched(64).touched(64);
        assert_eq!((touched.touches(), touched.idle_ticks(66)), (1, 2));
        let often = (1..9).fold(place, |place, tick| place.touched(tick));
        assert_eq!(often.touches(), TOUCHES_MAX);
        assert_eq!(often.page(), place.page());
        assert!(place.doomed().is_doomed() && place.doomed().page().is_none());
    }
}
