use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use holdfast_transport::{Mapping, RegionKind, classify_region, read_at};
use holdfast_wire::Piece;
use holdfast_wire::checksum::SummedCopy;
use holdfast_wire::limits::REGIONS_PER_CONNECTION_MAX;

/// Why an offer is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfferError {
    #[error("region {0} is offered already; withdraw it first")]
    Known(u32),
    #[error("{REGIONS_PER_CONNECTION_MAX} regions are offered, and no more are possible")]
    TooMany,
    #[error("region {region} is said to have {stated} bytes, its file has {found}")]
    Short {
        region: u32,
        stated: u64,
        found: u64,
    },
    #[error("region {0} is no plain file of this machine's memory or disks")]
    Foreign(u32),
    #[error("region {region} cannot be used: {source}")]
    Kernel { region: u32, source: io::Error },
}

/// How a region is read.
enum Source {
    /// Sealed against shrinking, so that reading the mapping cannot fault.
    Mapped(Mapping),
    /// Anything else; where it was cut short a read ends early, and nothing worse.
    File(OwnedFd),
}

struct Region {
    source: Source,
    bytes: u64,
}

/// Memory that the caller of one connection lets the node read.
#[derive(Default)]
pub(crate) struct Regions {
    regions: HashMap<u32, Region>,
}

impl Regions {
    pub(crate) fn offer(
        &mut self,
        region: u32,
        bytes: u64,
        descriptor: OwnedFd,
    ) -> Result<(), OfferError> {
        if self.regions.contains_key(&region) {
            return Err(OfferError::Known(region));
        }
        if self.regions.len() >= REGIONS_PER_CONNECTION_MAX {
            return Err(OfferError::TooMany);
        }
        let kernel = |source| OfferError::Kernel { region, source };
        let (kind, found) = classify_region(descriptor.as_fd()).map_err(kernel)?;
        if found < bytes || bytes == 0 {
            return Err(OfferError::Short {
                region,
                stated: bytes,
                found,
            });
        }
        let source = match kind {
            RegionKind::Sealed => {
                let mapping = Mapping::read_only(descriptor.as_fd(), bytes as usize);
                Source::Mapped(mapping.map_err(kernel)?)
            }
            RegionKind::Readable => Source::File(descriptor),
            RegionKind::Foreign => return Err(OfferError::Foreign(region)),
        };
        self.regions.insert(region, Region { source, bytes });
        Ok(())
    }

    /// Forgets a region; false when there is none of that number.
    pub(crate) fn withdraw(&mut self, region: u32) -> bool {
        self.regions.remove(&region).is_some()
    }

    /// Whether a piece lies inside an offered region.
    pub(crate) fn covers(&self, piece: &Piece) -> bool {
        self.regions.get(&piece.region).is_some_and(|region| {
            piece
                .offset
                .checked_add(u64::from(piece.bytes))
                .is_some_and(|end| end <= region.bytes)
        })
    }

    /// Copies from `offset` of a region, as part of `copy`; false when the region is gone or ends
    /// earlier.
    pub(crate) fn copy(
        &self,
        region: u32,
        offset: u64,
        target: &mut [u8],
        copy: &mut SummedCopy,
    ) -> bool {
        let Some(region) = self.regions.get(&region) else {
            return false;
        };
        if offset
            .checked_add(target.len() as u64)
            .is_none_or(|end| end > region.bytes)
        {
            return false;
        }
        match &region.source {
            Source::Mapped(mapping) => {
                // SAFETY: the range was checked against the region, which the mapping covers
                // whole and which cannot shrink. Its owner may write meanwhile; the checksum of
                // the copy tells.
                unsafe {
                    copy.copy(
                        mapping.address().add(offset as usize),
                        target.as_mut_ptr(),
                        target.len(),
                    );
                }
                true
            }
            Source::File(descriptor) => {
                let whole = read_at(descriptor.as_fd(), target, offset)
                    .is_ok_and(|read| read == target.len());
                if whole {
                    copy.update(target);
                }
                whole
            }
        }
    }
}
