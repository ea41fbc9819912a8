//! Reads and writes that are waited for, before the log takes the disk over.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::disk::{Action, Completion, Disk, Operation, Span};
use crate::layout::PAGE_BYTES;
use crate::{FlashError, PageMemory};

/// Longest time without any completion.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Performs actions, many at a time; their results in order.
///
/// # Safety
/// As of [`Operation::new`], until this returns; when it fails, for ever.
unsafe fn perform(disk: &mut dyn Disk, actions: Vec<Action>) -> io::Result<Vec<io::Result<()>>> {
    let count = actions.len();
    // SAFETY: as the caller says.
    let mut operations: VecDeque<Operation> = (0..)
        .zip(actions)
        .map(|(token, action)| unsafe { Operation::new(token, action) })
        .collect();
    let mut results: Vec<Option<io::Result<()>>> = (0..count).map(|_| None).collect();
    let mut ended = 0;
    let mut completions: Vec<Completion> = Vec::new();
    while ended < count {
        disk.submit(&mut operations)?;
        disk.wait(SILENCE_MAX, &mut completions)?;
        if completions.is_empty() {
            let text = "nothing completed for a minute";
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        for completion in completions.drain(..) {
            results[completion.token as usize] = Some(completion.result);
            ended += 1;
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// Reads `pages` pages from each offset on.
///
/// # Errors
/// The disk as a whole does not work; a single read that fails says so in its place.
pub(super) fn read_all(
    disk: &mut dyn Disk,
    reads: &[(u64, u32)],
) -> Result<Vec<io::Result<PageMemory>>, FlashError> {
    let mut memories: Vec<PageMemory> = reads
        .iter()
        .map(|&(_, pages)| PageMemory::new(pages as usize * PAGE_BYTES))
        .collect();
    let actions = reads
        .iter()
        .zip(&mut memories)
        .map(|(&(offset, _), memory)| {
            let into = Span::of_mut(memory);
            Action::Read { offset, into }
        });
    let actions = actions.collect();
    // SAFETY: the memories outlive the call; when it fails they are leaked.
    match unsafe { perform(disk, actions) } {
        Ok(results) => Ok(results
            .into_iter()
            .zip(memories)
            .map(|(result, memory)| result.map(|()| memory))
            .collect()),
        Err(source) => {
            std::mem::forget(memories);
            Err(failed(
                "read",
                reads.first().map_or(0, |read| read.0),
                source,
            ))
        }
    }
}

/// Writes memory at each offset, then syncs.
///
/// # Errors
/// Any of it failed.
pub(super) fn write_all(
    disk: &mut dyn Disk,
    writes: Vec<(u64, PageMemory)>,
) -> Result<(), FlashError> {
    let offsets: Vec<u64> = writes.iter().map(|&(offset, _)| offset).collect();
    let actions = writes.iter().map(|(offset, memory)| Action::Write {
        offset: *offset,
        pieces: vec![Span::of(memory)],
    });
    let actions = actions.collect();
    // SAFETY: the memories outlive the call; when it fails they are leaked.
    let results = match unsafe { perform(disk, actions) } {
        Ok(results) => results,
        Err(source) => {
            std::mem::forget(writes);
            return Err(failed(
                "write",
                offsets.first().copied().unwrap_or(0),
                source,
            ));
        }
    };
    for (offset, result) in offsets.into_iter().zip(results) {
        result.map_err(|source| failed("write", offset, source))?;
    }
    sync(disk)
}

/// Puts what was written on stable storage.
fn sync(disk: &mut dyn Disk) -> Result<(), FlashError> {
    // SAFETY: a sync uses no memory.
    let results = unsafe { perform(disk, vec![Action::Sync]) };
    let results = results.map_err(|source| failed("sync", 0, source))?;
    for result in results {
        result.map_err(|source| failed("sync", 0, source))?;
    }
    Ok(())
}

fn failed(step: &'static str, offset: u64, source: io::Error) -> FlashError {
    FlashError::Io {
        step,
        offset,
        source,
    }
}
