/// Ticks of a residence time, at most. A block's word tells apart this many ages before eviction.
const TICKS_PER_RESIDENCE: u64 = 4096;
/// Ticks between two marks.
const TICKS_PER_MARK: u32 = 64;
/// Marks kept: two residence times.
const MARKS: usize = 128;

/// Logical time of one class: it advances by insertions, so a trace replayed at a hundred times
/// its speed ages blocks as the original did.
///
/// The tick stands still within a batch: blocks of one request are of one age.
#[derive(Debug)]
pub(crate) struct Clock {
    inserts: u64,
    inserts_per_tick: u64,
    blocks: u64,
    tick: u32,
    /// Engine time (bytes inserted anywhere) at which each mark passed; for ages between classes.
    marks: [u64; MARKS],
    marked: u32,
}

impl Clock {
    /// A clock that begins at this engine time.
    pub(crate) fn new(engine_time: u64) -> Self {
        Self {
            inserts: 0,
            inserts_per_tick: 1,
            blocks: 0,
            tick: 0,
            marks: [engine_time; MARKS],
            marked: 0,
        }
    }

    /// The class has another number of slots now.
    pub(crate) fn resize(&mut self, slots: u64) {
        let per_tick = slots
            .div_ceil(TICKS_PER_RESIDENCE)
            .max(1)
            .next_power_of_two();
        // Ticks stay continuous: only their length from now on changes.
        self.inserts = u64::from(self.tick) * per_tick + self.inserts % self.inserts_per_tick;
        self.inserts_per_tick = per_tick;
    }

    /// Latches the tick for the batch that begins, and the blocks that the class holds now.
    pub(crate) fn begin_batch(&mut self, engine_time: u64, blocks: u64) {
        self.blocks = blocks;
        self.tick = (self.inserts / self.inserts_per_tick) as u32;
        let mark = self.tick / TICKS_PER_MARK;
        if mark != self.marked {
            let passed = mark.wrapping_sub(self.marked).min(MARKS as u32);
            for step in 0..passed {
                self.marks[mark.wrapping_sub(step) as usize % MARKS] = engine_time;
            }
            self.marked = mark;
        }
    }

    /// One block was inserted.
    pub(crate) fn inserted(&mut self) {
        self.inserts += 1;
    }

    /// Tick of this batch.
    #[inline]
    pub(crate) fn tick(&self) -> u32 {
        self.tick
    }

    /// Ticks in which as many blocks are written as the class holds.
    pub(crate) fn residence_ticks(&self) -> u32 {
        (self.blocks / self.inserts_per_tick).max(1) as u32
    }

    /// Engine time at the touch of a block of this age; the oldest mark when it is older.
    pub(crate) fn engine_time_of_age(&self, age_ticks: u32) -> u64 {
        let back = (age_ticks / TICKS_PER_MARK).min(MARKS as u32 - 1);
        self.marks[self.marked.wrapping_sub(back) as usize % MARKS]
    }
}
