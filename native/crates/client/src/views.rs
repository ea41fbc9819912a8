use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use holdfast_transport::{Mapping, RegionKind, classify_region};
use holdfast_wire::ViewAnnounce;

use crate::lane::LaneFailure;

/// Views that one lane may have mapped; a node with more extents answers the rest over TCP.
const VIEWS_MAX: usize = 1 << 16;

/// Read-only views of node memory that were announced on one lane.
#[derive(Default)]
pub(crate) struct Views {
    mapped: HashMap<u32, Arc<Mapping>>,
}

impl Views {
    /// Maps a view, or forgets one. Memory that could shrink is never mapped: the node could
    /// otherwise end this process with SIGBUS.
    pub(crate) fn announce(
        &mut self,
        announce: ViewAnnounce,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), LaneFailure> {
        if announce.bytes == 0 {
            self.mapped.remove(&announce.view);
            return Ok(());
        }
        let Some(descriptor) = descriptor else {
            return Err(LaneFailure::Protocol("a view came without its descriptor"));
        };
        if self.mapped.len() >= VIEWS_MAX {
            return Err(LaneFailure::Protocol("more views than a lane maps"));
        }
        let (kind, bytes) = classify_region(descriptor.as_fd()).map_err(LaneFailure::View)?;
        if kind != RegionKind::Sealed || bytes < announce.bytes {
            return Err(LaneFailure::UnsafeView);
        }
        let length = usize::try_from(announce.bytes).map_err(|_| LaneFailure::UnsafeView)?;
        let mapping = Mapping::read_only(descriptor.as_fd(), length).map_err(LaneFailure::View)?;
        self.mapped.insert(announce.view, Arc::new(mapping));
        Ok(())
    }

    /// The view, if `bytes` from `offset` on lie inside it.
    pub(crate) fn find(&self, view: u32, offset: u64, bytes: usize) -> Option<Arc<Mapping>> {
        let mapping = self.mapped.get(&view)?;
        let end = offset.checked_add(bytes as u64)?;
        (end <= mapping.bytes() as u64).then(|| Arc::clone(mapping))
    }

    pub(crate) fn len(&self) -> usize {
        self.mapped.len()
    }
}
