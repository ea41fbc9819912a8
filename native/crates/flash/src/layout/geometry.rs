use super::PAGE_BYTES;

/// Smallest segment, bytes.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 20;
/// Largest segment, bytes.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Pages that a record can name (34 bits, less the two values that name no page): 64 TiB.
pub(crate) const PAGES_MAX: u64 = (1 << 34) - 2;

/// How a disk is divided: a lead-in as long as a segment, then the segments.
///
/// Payload is named by its *page*: counted from the first segment on, over all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    segment_bytes: u64,
    segments: u32,
}

impl Geometry {
    /// So many segments of this size; `None` unless the size is a power of two in range and all
    /// pages can be named.
    #[must_use]
    pub fn new(segment_bytes: u64, segments: u32) -> Option<Self> {
        let sized = segment_bytes.is_power_of_two()
            && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes);
        let pages = u64::from(segments) * (segment_bytes / PAGE_BYTES as u64);
        (sized && segments > 0 && pages <= PAGES_MAX).then_some(Self {
            segment_bytes,
            segments,
        })
    }

    /// Size of a segment, bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// Pages of one segment.
    #[must_use]
    pub fn segment_pages(&self) -> u32 {
        (self.segment_bytes / PAGE_BYTES as u64) as u32
    }

    /// Bytes that a disk must have.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        (u64::from(self.segments) + 1) * self.segment_bytes
    }

    /// Where a page of a segment lies on the disk, bytes.
    #[must_use]
    pub fn offset(&self, segment: u32, page: u32) -> u64 {
        (u64::from(segment) + 1) * self.segment_bytes + u64::from(page) * PAGE_BYTES as u64
    }

    /// A page of a segment, counted over all segments.
    #[must_use]
    pub fn page(&self, segment: u32, page: u32) -> u64 {
        u64::from(segment) * u64::from(self.segment_pages()) + u64::from(page)
    }

    /// The segment of a page that is counted over all segments, and its place there.
    #[must_use]
    pub fn split(&self, page: u64) -> (u32, u32) {
        let pages = u64::from(self.segment_pages());
        ((page / pages) as u32, (page % pages) as u32)
    }
}
