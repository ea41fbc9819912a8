use crate::PageMemory;
use crate::state::QueuedRead;

/// What an operation on the disk is for, and the memory that it uses.
pub(super) enum Flight {
    /// A batch of a segment; its memory is the writer's.
    Batch { segment: u32, number: u32 },
    /// A segment's footer.
    Footer { segment: u32, memory: PageMemory },
    /// Zeros over the last page or the head of a segment.
    Wipe {
        segment: u32,
        page: u32,
        memory: PageMemory,
    },
    /// A sync, and how many batches of each segment it covers.
    Sync {
        covered: Vec<(u32, u32)>,
        wiped: Vec<u32>,
    },
    /// A block for a caller; it lies in this segment.
    Read { queued: QueuedRead, segment: u32 },
    /// Last pages of a segment that is reused.
    Footing { memory: PageMemory },
    /// A block of a segment that is reused, by its place in the group that is read.
    Moving { place: usize, memory: PageMemory },
}

/// Operations under way, by their tokens.
#[derive(Default)]
pub(super) struct Flights {
    list: Vec<Option<Flight>>,
    vacant: Vec<usize>,
}

impl Flights {
    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.list.len() - self.vacant.len()
    }

    /// The reads for callers among them.
    pub(super) fn into_reads(self) -> impl Iterator<Item = QueuedRead> {
        self.list
            .into_iter()
            .flatten()
            .filter_map(|flight| match flight {
                Flight::Read { queued, .. } => Some(queued),
                _ => None,
            })
    }

    /// Gives out a token.
    pub(super) fn add(&mut self, flight: Flight) -> u64 {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.list.push(None);
            self.list.len() - 1
        });
        self.list[place] = Some(flight);
        place as u64
    }

    /// Takes back what a token stands for.
    pub(super) fn take(&mut self, token: u64) -> Option<Flight> {
        let flight = self.list.get_mut(token as usize)?.take()?;
        self.vacant.push(token as usize);
        Some(flight)
    }
}
