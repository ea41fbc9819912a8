//! What both logs share: the stored form of the log's start, and what continues a log.

use std::path::Path;

use protobuf::Message as _;
use raft::eraftpb::SnapshotMetadata;

use crate::configuration::encode_message;
use crate::{Compaction, Configuration, CoreError, EntryRecord, LogError};

/// Where the log begins: one version byte, then a protobuf `SnapshotMetadata`.
const START_VERSION: u8 = 1;

pub(super) fn encode_start(start: &Compaction) -> Vec<u8> {
    let mut metadata = SnapshotMetadata::default();
    metadata.set_index(start.index);
    metadata.set_term(start.term);
    metadata.set_conf_state(start.configuration.to_conf_state());
    let mut bytes = vec![START_VERSION];
    bytes.extend_from_slice(&encode_message(&metadata));
    bytes
}

pub(super) fn decode_start(bytes: &[u8]) -> Result<Compaction, CoreError> {
    let malformed = |reason: String| CoreError::Malformed {
        what: "log start",
        reason,
    };
    let Some((&START_VERSION, rest)) = bytes.split_first() else {
        return Err(malformed(format!(
            "version {:?}, this build reads {START_VERSION}",
            bytes.first()
        )));
    };
    let mut metadata = SnapshotMetadata::default();
    metadata
        .merge_from_bytes(rest)
        .map_err(|error| malformed(error.to_string()))?;
    Ok(Compaction {
        index: metadata.index,
        term: metadata.term,
        configuration: Configuration::from_conf_state(metadata.get_conf_state()),
    })
}

/// First and last index of a log: everything up to `start_index` is compacted away.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) start_index: u64,
    pub(super) last_index: u64,
}

impl Extent {
    /// The extent after appending, if the entries continue this one.
    pub(super) fn append(
        self,
        directory: &Path,
        entries: &[EntryRecord],
    ) -> Result<Self, LogError> {
        let Some(first) = entries.first().map(|entry| entry.0.index) else {
            return Ok(self);
        };
        let contiguous = entries
            .iter()
            .zip(first..)
            .all(|(entry, index)| entry.0.index == index);
        if !contiguous || first <= self.start_index || first > self.last_index + 1 {
            return Err(misuse(
                directory,
                format!(
                    "{} entries from {first} do not continue entries {} to {}",
                    entries.len(),
                    self.start_index + 1,
                    self.last_index
                ),
            ));
        }
        Ok(Self {
            last_index: first + entries.len() as u64 - 1,
            ..self
        })
    }

    /// The extent after dropping everything up to `index`.
    pub(super) fn compact(self, directory: &Path, index: u64) -> Result<Self, LogError> {
        if index > self.last_index {
            return Err(misuse(
                directory,
                format!(
                    "compaction up to {index}, the last entry is {}",
                    self.last_index
                ),
            ));
        }
        Ok(Self {
            start_index: index.max(self.start_index),
            ..self
        })
    }
}

pub(super) fn misuse(directory: &Path, reason: String) -> LogError {
    LogError::Misuse {
        directory: directory.to_path_buf(),
        reason,
    }
}
