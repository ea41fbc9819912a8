use std::time::Duration;

/// Durations that are remembered of each size of request.
const SAMPLES: usize = 32;
/// Sizes: up to 64 KiB, then by factors of four.
const SIZES: usize = 8;
const SMALLEST_BYTES: u64 = 64 << 10;
/// Fewer samples than these say nothing.
const SAMPLES_MIN: usize = 8;
/// How long a node may take of which nothing is known.
const UNKNOWN: Duration = Duration::from_millis(30);
/// Nobody is late before this: a thread that is scheduled late must not look like a slow node.
const SHORTEST: Duration = Duration::from_millis(2);

/// How long a node took lately to answer reads, by their size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    durations_us: [Vec<u32>; SIZES],
    next: [usize; SIZES],
}

impl Pace {
    /// A request that asked for so many bytes was answered.
    pub(crate) fn note(&mut self, bytes: u64, duration: Duration) {
        let size = size_of(bytes);
        let duration_us = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let durations_us = &mut self.durations_us[size];
        if durations_us.len() < SAMPLES {
            durations_us.push(duration_us);
            return;
        }
        durations_us[self.next[size]] = duration_us;
        self.next[size] = (self.next[size] + 1) % SAMPLES;
    }

    /// How long a request of so many bytes may take before its node is slow: half as long again as
    /// 95 of 100 lately took.
    pub(crate) fn patience(&self, bytes: u64) -> Duration {
        let mut known = self.durations_us[size_of(bytes)].clone();
        if known.len() < SAMPLES_MIN {
            return UNKNOWN;
        }
        let rank = known.len() * 95 / 100;
        let (_, &mut p95, _) = known.select_nth_unstable(rank);
        Duration::from_micros(u64::from(p95) * 3 / 2).max(SHORTEST)
    }
}

fn size_of(bytes: u64) -> usize {
    let mut limit = SMALLEST_BYTES;
    for size in 0..SIZES - 1 {
        if bytes <= limit {
            return size;
        }
        limit *= 4;
    }
    SIZES - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_what_the_node_took_lately() {
        let mut pace = Pace::default();
        assert_eq!(pace.patience(1), UNKNOWN);
        for _ in 0..SAMPLES {
            pace.note(1 << 20, Duration::from_millis(10));
        }
        assert_eq!(pace.patience(1 << 20), Duration::from_millis(15));
        assert_eq!(pace.patience(1), UNKNOWN, "another size");
        for _ in 0..SAMPLES {
            pace.note(1 << 20, Duration::from_micros(100));
        }
        assert_eq!(pace.patience(1 << 20), SHORTEST);
    }

    #[test]
    fn one_slow_answer_in_many_changes_little() {
        let mut pace = Pace::default();
        for _ in 0..SAMPLES - 1 {
            pace.note(100, Duration::from_millis(4));
        }
        pace.note(100, Duration::from_secs(3));
        assert!(pace.patience(100) <= Duration::from_millis(6));
    }
}
