use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use holdfast_engine::{BlockLocation, Engine};

/// What must be told to a caller before it can find a block.
pub(crate) struct Announcement {
    /// A view that it no longer needs.
    pub(crate) retired: Option<u32>,
    /// The memory of the new one.
    pub(crate) descriptor: Arc<OwnedFd>,
}

/// Memory of this node that one connection was told of: at most one view an extent.
#[derive(Default)]
pub(crate) struct Views {
    /// View by extent.
    announced: HashMap<u32, u32>,
}

impl Views {
    /// Looks a location up: `Ok(None)` when its view is known to the caller, `Err` when the
    /// extent has moved to somebody else since.
    pub(crate) fn announce(
        &mut self,
        engine: &Engine,
        tenant: u32,
        location: &BlockLocation,
    ) -> Result<Option<Announcement>, Moved> {
        let known = self.announced.get(&location.extent).copied();
        if known == Some(location.view) {
            return Ok(None);
        }
        let descriptor = engine
            .export_view(location.extent, location.view, tenant)
            .ok_or(Moved)?;
        self.announced.insert(location.extent, location.view);
        Ok(Some(Announcement {
            retired: known,
            descriptor,
        }))
    }

    /// Forgets views whose extent is no longer this tenant's, and names them.
    pub(crate) fn retire(&mut self, engine: &Engine, tenant: u32) -> Vec<u32> {
        let mut retired = Vec::new();
        self.announced.retain(|extent, view| {
            let stays = engine.export_view(*extent, *view, tenant).is_some();
            if !stays {
                retired.push(*view);
            }
            stays
        });
        retired
    }
}

/// The extent belongs to another tenant or block size now.
pub(crate) struct Moved;
