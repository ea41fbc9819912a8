use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where a node reads the time. Deadlines, pins and lives run on the monotonic clock; only the
/// end of a ticket is compared with the time of day.
#[derive(Clone)]
pub struct Clock {
    monotonic_us: Arc<dyn Fn() -> u64 + Send + Sync>,
    wall_s: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        let origin = Instant::now();
        Self {
            // One second ahead, so that no time is 0, which callers may take for "never".
            monotonic_us: Arc::new(move || origin.elapsed().as_micros() as u64 + 1_000_000),
            wall_s: Arc::new(|| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |elapsed| elapsed.as_secs())
            }),
        }
    }

    /// The machine's monotonic clock, and a time of day (Unix seconds) of the caller's own.
    #[must_use]
    pub fn with_wall(wall_s: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            wall_s: Arc::new(wall_s),
            ..Self::system()
        }
    }

    /// Monotonic time, microseconds.
    #[must_use]
    pub fn monotonic_us(&self) -> u64 {
        (self.monotonic_us)()
    }

    /// Monotonic time, milliseconds.
    #[must_use]
    pub fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1000
    }

    /// Time of day, Unix seconds.
    #[must_use]
    pub fn wall_s(&self) -> u64 {
        (self.wall_s)()
    }
}
