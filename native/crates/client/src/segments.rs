use std::sync::Arc;

use holdfast_wire::checksum::Crc32c;
use holdfast_wire::limits::BLOCK_BYTES_MAX;

use crate::{ClientError, Region, SegmentsError};

/// One part of every block of a batch: `runs` pieces of `run_bytes`, `run_stride` apart.
#[derive(Clone)]
pub struct Plane {
    /// The memory.
    pub region: Arc<Region>,
    /// Offset of index 0 in the region, bytes.
    pub base: i64,
    /// Distance of consecutive indices, bytes.
    pub block_stride: i64,
    /// Pieces of one block.
    pub runs: usize,
    /// Distance of consecutive pieces, bytes.
    pub run_stride: i64,
    /// Bytes of one piece.
    pub run_bytes: usize,
}

/// Where the bytes of each block of a batch lie.
///
/// Block i is the concatenation, over the planes in order and r in 0..runs, of the bytes
/// `[base + indices[i] * block_stride + r * run_stride, + run_bytes)` of the plane's region.
pub struct Segments {
    planes: Vec<Plane>,
    /// Planes from this one on are addressed by a block's place in the batch, not by its index.
    placed_from: usize,
    indices: Arc<[i64]>,
    block_bytes: usize,
}

/// How far the walk through one block has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlockCursor {
    plane: usize,
    run: usize,
    offset: usize,
}

impl Segments {
    /// Checks all bounds once, for the smallest and the largest index.
    ///
    /// # Errors
    /// [`SegmentsError`] when a plane has no bytes, a block is too large, or a run lies outside
    /// its region.
    pub fn new(planes: Vec<Plane>, indices: Vec<i64>) -> Result<Self, SegmentsError> {
        let mut block_bytes = 0u64;
        for (number, plane) in planes.iter().enumerate() {
            let plane_bytes = (plane.runs as u64).saturating_mul(plane.run_bytes as u64);
            if plane_bytes == 0 {
                return Err(SegmentsError::Empty);
            }
            block_bytes = block_bytes.saturating_add(plane_bytes);
            if let (Some(least), Some(most)) = (indices.iter().min(), indices.iter().max()) {
                check_bounds(number, plane, *least)?;
                check_bounds(number, plane, *most)?;
            }
        }
        if block_bytes == 0 {
            return Err(SegmentsError::Empty);
        }
        if block_bytes > u64::from(BLOCK_BYTES_MAX) {
            return Err(SegmentsError::BlockTooLarge {
                bytes: block_bytes,
                limit: u64::from(BLOCK_BYTES_MAX),
            });
        }
        Ok(Self {
            placed_from: planes.len(),
            planes: planes.into_iter().map(joined).collect(),
            indices: indices.into(),
            block_bytes: block_bytes as usize,
        })
    }

    /// The bytes `[begin, end)` of every block, followed by `placed`: planes that are addressed by
    /// a block's place in the batch and lie inside their regions.
    pub(crate) fn window(&self, begin: usize, end: usize, placed: Vec<Plane>) -> Self {
        let mut planes = Vec::new();
        let mut plane_begin = 0;
        for plane in &self.planes {
            let plane_end = plane_begin + plane.runs * plane.run_bytes;
            if plane_begin < end && begin < plane_end {
                let from = begin.max(plane_begin) - plane_begin;
                plane.cut(from, end.min(plane_end) - plane_begin, &mut planes);
            }
            plane_begin = plane_end;
        }
        let placed_from = planes.len();
        planes.extend(placed);
        Self {
            placed_from,
            indices: Arc::clone(&self.indices),
            block_bytes: planes
                .iter()
                .map(|plane| plane.runs * plane.run_bytes)
                .sum(),
            planes,
        }
    }

    /// By what a block is addressed in a plane.
    fn index(&self, plane: usize, block: usize) -> i64 {
        match plane < self.placed_from {
            true => self.indices[block],
            false => block as i64,
        }
    }

    /// Blocks described.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.indices.len()
    }

    /// Bytes of each block.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    pub(crate) fn planes(&self) -> &[Plane] {
        &self.planes
    }

    /// The first plane that a get may not write.
    pub(crate) fn readonly_plane(&self) -> Option<usize> {
        self.planes.iter().position(|plane| plane.region.readonly())
    }

    /// Counts an operation on every region, or on none.
    pub(crate) fn acquire(&self) -> Result<(), ClientError> {
        for (position, plane) in self.planes.iter().enumerate() {
            if let Err(error) = plane.region.acquire() {
                for earlier in &self.planes[..position] {
                    earlier.region.release();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends what [`Segments::acquire`] began.
    pub(crate) fn release(&self) {
        for plane in &self.planes {
            plane.region.release();
        }
    }

    /// The next contiguous bytes of a block, at most `most` of them; `None` at its end.
    pub(crate) fn next(
        &self,
        block: usize,
        cursor: &mut BlockCursor,
        most: usize,
    ) -> Option<(*mut u8, usize)> {
        let plane = self.planes.get(cursor.plane)?;
        let begin = plane.offset(self.index(cursor.plane, block), cursor.run) + cursor.offset;
        let bytes = (plane.run_bytes - cursor.offset).min(most);
        cursor.offset += bytes;
        if cursor.offset == plane.run_bytes {
            cursor.offset = 0;
            cursor.run += 1;
            if cursor.run == plane.runs {
                cursor.run = 0;
                cursor.plane += 1;
            }
        }
        Some(((plane.region.address() + begin) as *mut u8, bytes))
    }

    /// Whether a node of this host could read all of it through memory files.
    pub(crate) fn offerable(&self) -> bool {
        self.planes
            .iter()
            .all(|plane| plane.region.file().is_some())
    }

    /// CRC-32C of a block. The regions must be held.
    pub(crate) fn checksum(&self, block: usize) -> u32 {
        let mut digest = Crc32c::new();
        let mut cursor = BlockCursor::default();
        while let Some((address, bytes)) = self.next(block, &mut cursor, usize::MAX) {
            // SAFETY: the region's memory, in bounds, and not let go while it is held.
            digest.update(unsafe { std::slice::from_raw_parts(address, bytes) });
        }
        digest.value()
    }

    /// Every run of a block: its plane and its offset in the plane's region.
    pub(crate) fn runs(&self, block: usize) -> impl Iterator<Item = (&Plane, usize)> {
        self.planes
            .iter()
            .enumerate()
            .flat_map(move |(number, plane)| {
                let index = self.index(number, block);
                (0..plane.runs).map(move |run| (plane, plane.offset(index, run)))
            })
    }
}

impl Plane {
    /// Offset in the region; within its bounds as [`Segments::new`] has checked.
    fn offset(&self, index: i64, run: usize) -> usize {
        // Wrapping, because a product may pass the range although the sum is within it.
        self.base
            .wrapping_add(index.wrapping_mul(self.block_stride))
            .wrapping_add((run as i64).wrapping_mul(self.run_stride)) as usize
    }

    /// Appends planes for the bytes `[begin, end)` of what this one has of every block: the rest
    /// of a run, whole runs, and the beginning of one.
    fn cut(&self, begin: usize, end: usize, planes: &mut Vec<Self>) {
        let mut at = begin;
        while at < end {
            let (run, within) = (at / self.run_bytes, at % self.run_bytes);
            let left = end - at;
            let (runs, run_bytes) = match within == 0 && left >= self.run_bytes {
                true => (left / self.run_bytes, self.run_bytes),
                false => (1, left.min(self.run_bytes - within)),
            };
            planes.push(Self {
                region: Arc::clone(&self.region),
                base: self.offset_of(run, within),
                runs,
                run_bytes,
                ..*self
            });
            at += runs * run_bytes;
        }
    }

    /// Base of a plane that begins inside one of this one's runs.
    fn offset_of(&self, run: usize, within: usize) -> i64 {
        self.base
            .wrapping_add((run as i64).wrapping_mul(self.run_stride))
            .wrapping_add(within as i64)
    }
}

/// A plane whose runs touch each other is one run.
fn joined(mut plane: Plane) -> Plane {
    if plane.runs > 1 && plane.run_stride == plane.run_bytes as i64 {
        plane.run_bytes *= plane.runs;
        plane.runs = 1;
    }
    plane
}

fn check_bounds(number: usize, plane: &Plane, index: i64) -> Result<(), SegmentsError> {
    let first = i128::from(plane.base) + i128::from(index) * i128::from(plane.block_stride);
    let last = first + (plane.runs as i128 - 1) * i128::from(plane.run_stride);
    let begin = first.min(last);
    let end = first.max(last) + plane.run_bytes as i128;
    if begin < 0 || end > plane.region.nbytes() as i128 {
        return Err(SegmentsError::OutOfBounds {
            plane: number,
            index,
            begin,
            end,
            nbytes: plane.region.nbytes(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(nbytes: usize) -> Arc<Region> {
        let bytes = vec![0u8; nbytes];
        let address = bytes.as_ptr() as usize;
        // SAFETY: the vector is the owner, and nobody resizes it.
        Arc::new(unsafe { Region::new(address, nbytes, false, Box::new(bytes), None) })
    }

    fn plane(region: &Arc<Region>, base: i64, stride: i64, runs: usize, step: i64) -> Plane {
        Plane {
            region: Arc::clone(region),
            base,
            block_stride: stride,
            runs,
            run_stride: step,
            run_bytes: 10,
        }
    }

    #[test]
    fn walks_planes_and_runs_in_order() {
        let memory = region(1000);
        let planes = vec![
            plane(&memory, 0, 100, 2, 50),
            plane(&memory, 500, -20, 1, 0),
        ];
        let segments = Segments::new(planes, vec![3, 0]).expect("in bounds");
        assert_eq!(segments.block_bytes(), 30);
        let mut cursor = BlockCursor::default();
        let mut seen = Vec::new();
        while let Some((address, bytes)) = segments.next(0, &mut cursor, 7) {
            seen.push((address as usize - memory.address(), bytes));
        }
        assert_eq!(
            seen,
            [(300, 7), (307, 3), (350, 7), (357, 3), (440, 7), (447, 3)]
        );
        assert_eq!(
            segments.runs(1).map(|(_, at)| at).collect::<Vec<_>>(),
            [0, 50, 500]
        );
    }

    #[test]
    fn a_window_has_the_bytes_between_and_what_is_placed_behind() {
        let memory = region(1000);
        let planes = vec![plane(&memory, 0, 100, 3, 20), plane(&memory, 500, 20, 1, 0)];
        let segments = Segments::new(planes, vec![4, 1]).expect("in bounds");
        let tail = plane(&memory, 900, 10, 1, 0);
        let offsets = |segments: &Segments, block| {
            let mut cursor = BlockCursor::default();
            let mut offsets = Vec::new();
            while let Some((address, bytes)) = segments.next(block, &mut cursor, usize::MAX) {
                let begin = address as usize - memory.address();
                offsets.extend(begin..begin + bytes);
            }
            offsets
        };
        for (begin, end) in [
            (0, 40),
            (3, 7),
            (5, 25),
            (10, 30),
            (12, 39),
            (30, 40),
            (40, 40),
        ] {
            let window = segments.window(begin, end, vec![tail.clone()]);
            assert_eq!(window.block_bytes(), end - begin + 10);
            for block in 0..2 {
                let mut expected = offsets(&segments, block)[begin..end].to_vec();
                expected.extend((0..10).map(|byte| 900 + 10 * block + byte));
                assert_eq!(offsets(&window, block), expected, "{begin}..{end}");
            }
        }
    }

    #[test]
    fn runs_that_touch_are_joined() {
        let memory = region(1000);
        let segments =
            Segments::new(vec![plane(&memory, 0, 100, 10, 10)], vec![0]).expect("in bounds");
        let mut cursor = BlockCursor::default();
        let (_, bytes) = segments.next(0, &mut cursor, 1000).expect("a run");
        assert_eq!(bytes, 100);
    }

    #[test]
    fn what_lies_outside_is_named() {
        let memory = region(1000);
        for (base, stride, index) in [(-1, 0, 0), (0, 100, 10), (0, -1, 1), (0, i64::MAX, 2)] {
            let error = Segments::new(vec![plane(&memory, base, stride, 1, 0)], vec![0, index])
                .err()
                .expect("out of bounds");
            assert!(
                matches!(error, SegmentsError::OutOfBounds { plane: 0, .. }),
                "{error}"
            );
        }
        let edge = Segments::new(vec![plane(&memory, 0, 110, 1, 0)], vec![9]);
        assert!(edge.is_ok());
        assert_eq!(
            Segments::new(vec![], vec![0]).err(),
            Some(SegmentsError::Empty)
        );
    }
}
