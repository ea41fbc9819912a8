use std::io;
use std::sync::Arc;

use holdfast_wire::checksum::crc32c;

use super::flights::Flight;
use super::{Log, Shared};
use crate::disk::{Action, Span};
use crate::failures::ReadFailure;
use crate::layout::PAGE_BYTES;
use crate::state::{QueuedRead, SegmentState, State};
use crate::types::{ReadEnd, ReadInto};

/// The end of a read.
pub(crate) fn end(read: ReadInto, result: Result<(), ReadFailure>) -> ReadEnd {
    ReadEnd {
        tag: read.tag,
        location: read.location,
        room: read.room,
        result,
    }
}

impl Log {
    /// Begins as many of the queued reads as may be under way.
    pub(super) fn begin_reads(&mut self, state: &mut State) {
        while self.reads_flying < state.config.reads_in_flight_max {
            let Some(queued) = state.reads.pop_front() else {
                return;
            };
            self.begin_read(state, queued);
        }
    }

    fn begin_read(&mut self, state: &mut State, mut queued: QueuedRead) {
        let location = queued.read.location;
        let (segment, page) = self.geometry.split(location.page);
        let found = state.segments.get_mut(segment);
        let emptied = matches!(
            found.state,
            SegmentState::Free | SegmentState::Wiping | SegmentState::Retired
        );
        if emptied || found.sequence != location.sequence {
            let gone = end(queued.read, Err(ReadFailure::Gone));
            self.reads_ended.push((queued.done, gone));
            return;
        }
        found.readers += 1;
        self.reads_flying += 1;
        let room = &mut queued.read.room.as_mut_slice()[..location.room_bytes()];
        let into = Span::of_mut(room);
        let offset = self.geometry.offset(segment, page);
        self.fly(
            Flight::Read { queued, segment },
            Action::Read { offset, into },
        );
    }

    /// A read has ended. Summing happens outside of the lock.
    pub(super) fn end_read(
        &mut self,
        shared: &Arc<Shared>,
        queued: QueuedRead,
        segment: u32,
        result: &io::Result<()>,
    ) {
        self.reads_flying -= 1;
        let QueuedRead { mut read, done } = queued;
        let location = read.location;
        let result = match result {
            Err(error) => Err(ReadFailure::Io {
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            }),
            Ok(()) if read.verify => {
                let bytes = &read.room.as_mut_slice()[..location.payload_bytes as usize];
                if crc32c(bytes) == location.crc {
                    Ok(())
                } else {
                    Err(ReadFailure::Corrupt)
                }
            }
            Ok(()) => Ok(()),
        };
        let mut state = shared.state.lock();
        state.segments.get_mut(segment).readers -= 1;
        match result {
            Ok(()) => {
                state.counters.reads += 1;
                state.counters.read_bytes += u64::from(location.payload_bytes);
            }
            Err(failure) => {
                if failure == ReadFailure::Corrupt {
                    state.counters.corrupt += 1;
                } else {
                    state.counters.read_errors += 1;
                }
                state.forget_at(location.slot, location.page);
            }
        }
        drop(state);
        self.reads_ended.push((done, end(read, result)));
    }
}

/// Whether memory is as the disk needs it for a block.
pub(crate) fn check_room(read: &mut ReadInto) -> Result<(), ReadFailure> {
    let needed = read.location.room_bytes();
    let room = read.room.as_mut_slice();
    let aligned = (room.as_ptr() as usize).is_multiple_of(PAGE_BYTES);
    if aligned && room.len() >= needed {
        return Ok(());
    }
    let found = if aligned { room.len() } else { 0 };
    Err(ReadFailure::Room { found, needed })
}
