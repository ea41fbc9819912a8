/// Bits of the tick of the last touch.
const TICK_BITS: u32 = 20;
const TICK_MASK: u32 = (1 << TICK_BITS) - 1;
const TOUCHES_SHIFT: u32 = TICK_BITS;
const CLASS_SHIFT: u32 = TICK_BITS + 4;
const KIND_SHIFT: u32 = TICK_BITS + 8;
const KIND_MASK: u32 = 3 << KIND_SHIFT;

/// Most touches that are counted.
pub(crate) const TOUCHES_MAX: u32 = 15;

/// How a block stands in the put that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum BlockKind {
    /// Others of its put are deeper, or it was used since.
    Ordinary = 0,
    /// The deepest of its put, and not used since.
    Deepest = 1 << KIND_SHIFT,
    /// The same, of the sample that is treated as ordinary, to see what becomes of it.
    DeepestSample = 2 << KIND_SHIFT,
}

/// What is remembered of a block between touches, 32 bits.
///
/// Bits 0-19: tick of the last touch, modulo 2^20; 20-23: touches, at most 15; 24-27: class of
/// the position; 28-29: [`BlockKind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct BlockWord(u32);

impl BlockWord {
    /// A word for a block written at `tick`.
    pub(crate) fn new(tick: u32, touches: u32, position: u32, kind: BlockKind) -> Self {
        let class = u32::from(class_of_position(position));
        Self(
            tick & TICK_MASK
                | touches.min(TOUCHES_MAX) << TOUCHES_SHIFT
                | class << CLASS_SHIFT
                | kind as u32,
        )
    }

    /// The same block touched at `tick`; `counted` unless the touch belongs to the one before.
    /// A block that is used again is no longer taken for a last one that never is.
    pub(crate) fn touched(self, tick: u32, counted: bool) -> Self {
        let touches = (self.touches() + u32::from(counted)).min(TOUCHES_MAX);
        let mut kept = self.0 & !(TICK_MASK | TOUCHES_MAX << TOUCHES_SHIFT);
        if counted {
            kept &= !KIND_MASK;
        }
        Self(kept | tick & TICK_MASK | touches << TOUCHES_SHIFT)
    }

    /// Ticks from the last touch to `tick`; negative when the touch was later. Right as long as
    /// the two are less than 2^19 ticks apart (128 residence times).
    #[inline]
    pub(crate) fn age(self, tick: u32) -> i32 {
        (tick.wrapping_sub(self.0) << (32 - TICK_BITS)) as i32 >> (32 - TICK_BITS)
    }

    /// How often the block was asked for, 1 to 15.
    #[inline]
    pub(crate) fn touches(self) -> u32 {
        self.0 >> TOUCHES_SHIFT & TOUCHES_MAX
    }

    /// Class of the position in the prefix, 0 to 15.
    #[inline]
    pub(crate) fn position_class(self) -> u8 {
        (self.0 >> CLASS_SHIFT & 0xF) as u8
    }

    /// How it stands in the put that wrote it.
    #[inline]
    pub(crate) fn kind(self) -> BlockKind {
        match (self.0 & KIND_MASK) >> KIND_SHIFT {
            0 => BlockKind::Ordinary,
            1 => BlockKind::Deepest,
            _ => BlockKind::DeepestSample,
        }
    }
}

/// First position of each class: two classes an octave.
const CLASS_STARTS: [u32; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192];

fn class_of_position(position: u32) -> u8 {
    (CLASS_STARTS.partition_point(|&start| start <= position) - 1) as u8
}

/// Smallest position of a class.
pub(crate) fn position_of_class(class: u8) -> u32 {
    CLASS_STARTS[usize::from(class & 0xF)]
}
