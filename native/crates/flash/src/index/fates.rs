/// Ends of deepest blocks seen before they are judged.
const ENDS_MIN: u32 = 48;
/// Deepest blocks are lost when used again less than this part as often as others.
const REUSE_PART: f64 = 0.2;
/// One deepest block in so many is treated as others are, so that the verdict is judged by blocks
/// that do not suffer it.
const SAMPLE_PARTS: u64 = 8;
/// Ends after which old ones weigh half.
const ENDS_MAX: u32 = 1 << 16;

/// What became of the blocks of a space until their segment was reused for the first time: those
/// with the largest position of their put, and the others.
///
/// Callers that store a partly filled last block never ask for it again; such blocks need not be
/// written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    deepest: Fate,
    others: Fate,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fate {
    ends: u32,
    used: u32,
}

impl Fate {
    fn share_used(self) -> f64 {
        f64::from(self.used) / f64::from(self.ends.max(1))
    }

    fn fade(&mut self) {
        self.ends /= 2;
        self.used /= 2;
    }
}

impl Fates {
    /// The first life of a block is over.
    pub(crate) fn ended(&mut self, deepest: bool, used: bool) {
        let fate = if deepest {
            &mut self.deepest
        } else {
            &mut self.others
        };
        fate.ends += 1;
        fate.used += u32::from(used);
        if fate.ends >= ENDS_MAX {
            self.deepest.fade();
            self.others.fade();
        }
    }

    /// Whether the deepest block of a put, of this hash, is worth writing.
    pub(crate) fn wants_deepest(&self, hash: u64) -> bool {
        let lost = self.deepest.ends >= ENDS_MIN
            && self.deepest.share_used() < REUSE_PART * self.others.share_used();
        !lost || hash.is_multiple_of(SAMPLE_PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepest_blocks_are_given_up_when_they_are_never_used_and_tried_again_by_sample() {
        let mut fates = Fates::default();
        assert!(fates.wants_deepest(1), "nothing is known yet");
        for number in 0..1000 {
            fates.ended(false, number % 3 == 0);
            fates.ended(true, false);
        }
        assert!(!fates.wants_deepest(1));
        assert!(fates.wants_deepest(8), "the sample");
        for _ in 0..100 {
            fates.ended(true, true);
        }
        assert!(fates.wants_deepest(1), "now they are used");
    }
}
