//! The log on disk, in TiKV's raft-engine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use raft::eraftpb::Entry;
use raft_engine::env::{DefaultFileSystem, FileSystem};
use raft_engine::{Command, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};

use super::DurableLog;
use super::region::{Extent, decode_start, encode_start, misuse};
use crate::core::panic_text;
use crate::{Compaction, CoreError, EntryRecord, HardStateRecord, LogError, Recovered};

/// The engine keeps many groups; a metadata node has one.
const GROUP: u64 = 1;
const START_KEY: &[u8] = b"start";
const HARD_STATE_KEY: &[u8] = b"hard_state";

struct StoredEntry;

impl MessageExt for StoredEntry {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// Sizes of the log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLogConfig {
    /// A log file is closed and the next one begun beyond this size.
    pub file_bytes: u64,
    /// Beyond this in all, compaction reclaims files; at least `file_bytes`.
    pub purge_bytes: u64,
}

impl Default for EngineLogConfig {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            purge_bytes: 128 << 20,
        }
    }
}

/// One group's log in one directory.
///
/// Recovery tolerates a broken tail: a record that a crash tore was never acknowledged and is dropped.
/// Damage before the tail is an error. When a sync fails nothing more is written: what is on disk is
/// unknown until the log is opened again.
pub struct EngineLog<F: FileSystem = DefaultFileSystem> {
    directory: PathBuf,
    state: Mutex<State<F>>,
}

struct State<F: FileSystem> {
    engine: Option<Engine<F>>,
    /// Why nothing more may be written.
    failed: Option<String>,
    extent: Extent,
    hard_state: HardStateRecord,
    /// Something was written since the last sync.
    dirty: bool,
    sync_count: u64,
}

impl EngineLog {
    /// Opens or creates the log in `directory`.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::InUse`], [`LogError::Io`], [`LogError::Misuse`] for sizes
    /// that do not fit.
    pub fn open(directory: &Path, config: EngineLogConfig) -> Result<Self, LogError> {
        Self::open_on(directory, config, Arc::new(DefaultFileSystem))
    }
}

impl<F: FileSystem> EngineLog<F> {
    /// Opens on a file system of the caller's, so that tests can inject faults.
    ///
    /// # Errors
    /// As [`EngineLog::open`].
    pub fn open_on(
        directory: &Path,
        config: EngineLogConfig,
        file_system: Arc<F>,
    ) -> Result<Self, LogError> {
        if config.file_bytes == 0 || config.purge_bytes < config.file_bytes {
            return Err(misuse(
                directory,
                format!(
                    "file_bytes {} must be positive and at most purge_bytes {}",
                    config.file_bytes, config.purge_bytes
                ),
            ));
        }
        create_directory(directory).map_err(|error| io(directory, "creating it", &error))?;
        let engine = open_engine(directory, config, file_system)?;
        sync_directory(directory).map_err(|error| io(directory, "syncing it", &error))?;
        let log = Self {
            directory: directory.to_path_buf(),
            state: Mutex::new(State {
                engine: Some(engine),
                failed: None,
                extent: Extent::default(),
                hard_state: HardStateRecord::default(),
                dirty: false,
                sync_count: 0,
            }),
        };
        let recovered = log.recovered()?;
        let mut state = log.state.lock();
        state.extent = Extent {
            start_index: recovered.start.index,
            last_index: recovered.last_index(),
        };
        state.hard_state = recovered.hard_state;
        drop(state);
        Ok(log)
    }

    fn corrupt(&self, reason: String) -> LogError {
        LogError::Corrupt {
            directory: self.directory.clone(),
            reason,
        }
    }

    fn unreadable(&self, error: &CoreError) -> LogError {
        self.corrupt(error.to_string())
    }

    fn engine_error(&self, action: &'static str, error: &raft_engine::Error) -> LogError {
        engine_error(&self.directory, action, error)
    }

    fn require_engine<'a>(&self, state: &'a State<F>) -> Result<&'a Engine<F>, LogError> {
        if let Some(reason) = &state.failed {
            return Err(LogError::SyncFailed {
                directory: self.directory.clone(),
                reason: reason.clone(),
            });
        }
        state.engine.as_ref().ok_or_else(|| LogError::Closed {
            directory: self.directory.clone(),
        })
    }

    /// Writes one batch. raft-engine panics when a sync fails, rightly: nobody knows what the disk
    /// holds then, so the log refuses everything from there on.
    fn write_batch(
        &self,
        state: &mut State<F>,
        mut batch: LogBatch,
        sync: bool,
    ) -> Result<(), LogError> {
        let engine = self.require_engine(state)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| engine.write(&mut batch, sync)));
        match outcome {
            Ok(Ok(_)) => {
                state.dirty = !sync;
                state.sync_count += u64::from(sync);
                Ok(())
            }
            Ok(Err(error)) => Err(self.engine_error("writing", &error)),
            Err(panic) => {
                let reason = panic_text(panic.as_ref());
                state.failed = Some(reason.clone());
                Err(LogError::SyncFailed {
                    directory: self.directory.clone(),
                    reason,
                })
            }
        }
    }

    fn read_entries(
        &self,
        engine: &Engine<F>,
        start_index: u64,
    ) -> Result<Vec<EntryRecord>, LogError> {
        let (Some(first), Some(last)) = (engine.first_index(GROUP), engine.last_index(GROUP))
        else {
            return Ok(Vec::new());
        };
        // A compaction that was not synced may be forgotten while its entries are not.
        let first = first.max(start_index + 1);
        let mut entries = Vec::new();
        if first <= last {
            engine
                .fetch_entries_to::<StoredEntry>(GROUP, first, last + 1, None, &mut entries)
                .map_err(|error| self.corrupt(format!("entries {first} to {last}: {error}")))?;
        }
        Ok(entries.into_iter().map(EntryRecord).collect())
    }
}

impl<F: FileSystem> DurableLog for EngineLog<F> {
    fn recovered(&self) -> Result<Recovered, LogError> {
        let state = self.state.lock();
        let engine = self.require_engine(&state)?;
        let start = match engine.get(GROUP, START_KEY) {
            Some(bytes) => decode_start(&bytes).map_err(|error| self.unreadable(&error))?,
            None => Compaction::default(),
        };
        let hard_state = match engine.get(GROUP, HARD_STATE_KEY) {
            Some(bytes) => {
                HardStateRecord::decode(&bytes).map_err(|error| self.unreadable(&error))?
            }
            None => HardStateRecord::default(),
        };
        let recovered = Recovered {
            entries: self.read_entries(engine, start.index)?,
            hard_state,
            start,
        };
        recovered
            .validate()
            .map_err(|error| self.unreadable(&error))?;
        Ok(recovered)
    }

    fn write(
        &self,
        start: Option<&Compaction>,
        hard_state: Option<&HardStateRecord>,
        entries: &[EntryRecord],
        sync: bool,
    ) -> Result<(), LogError> {
        let mut state = self.state.lock();
        self.require_engine(&state)?;
        let base = start.map_or(state.extent, |start| Extent {
            start_index: start.index,
            last_index: start.index,
        });
        let extent = base.append(&self.directory, entries)?;
        let hard_state_after = hard_state.unwrap_or(&state.hard_state).clone();
        let mut batch = LogBatch::default();
        if let Some(start) = start {
            batch.add_command(GROUP, Command::Clean);
            self.put(&mut batch, START_KEY, encode_start(start))?;
        }
        // Cleaning the group also dropped its hard state; a sync of nothing else needs some record.
        let sync_of_nothing = sync && state.dirty && entries.is_empty();
        if hard_state.is_some() || start.is_some() || sync_of_nothing {
            self.put(&mut batch, HARD_STATE_KEY, hard_state_after.encode())?;
        }
        if !entries.is_empty() {
            let entries: Vec<Entry> = entries.iter().map(|entry| entry.0.clone()).collect();
            batch
                .add_entries::<StoredEntry>(GROUP, &entries)
                .map_err(|error| self.engine_error("encoding entries", &error))?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.write_batch(&mut state, batch, sync)?;
        state.extent = extent;
        state.hard_state = hard_state_after;
        Ok(())
    }

    fn compact_to(&self, compaction: &Compaction) -> Result<(), LogError> {
        let mut state = self.state.lock();
        self.require_engine(&state)?;
        let extent = state.extent.compact(&self.directory, compaction.index)?;
        if extent.start_index == state.extent.start_index {
            return Ok(());
        }
        let mut batch = LogBatch::default();
        self.put(&mut batch, START_KEY, encode_start(compaction))?;
        batch.add_command(
            GROUP,
            Command::Compact {
                index: compaction.index + 1,
            },
        );
        // The engine reclaims files by what it holds in memory. Without this sync, a power failure could
        // forget newer records (this one, a hard state) whose older versions are deleted already.
        self.write_batch(&mut state, batch, true)?;
        state.extent = extent;
        self.require_engine(&state)?
            .purge_expired_files()
            .map_err(|error| self.engine_error("reclaiming files", &error))?;
        Ok(())
    }

    fn close(&self) -> Result<(), LogError> {
        let synced = if self.state.lock().engine.is_some() {
            self.write(None, None, &[], true)
        } else {
            Ok(())
        };
        let engine = self.state.lock().engine.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(engine)));
        synced?;
        dropped.map_err(|panic| LogError::SyncFailed {
            directory: self.directory.clone(),
            reason: panic_text(panic.as_ref()),
        })
    }

    fn last_index(&self) -> Result<u64, LogError> {
        let state = self.state.lock();
        self.require_engine(&state)?;
        Ok(state.extent.last_index)
    }

    fn sync_count(&self) -> u64 {
        self.state.lock().sync_count
    }

    fn bytes_on_disk(&self) -> Result<u64, LogError> {
        let mut bytes = 0;
        let listing = fs::read_dir(&self.directory)
            .map_err(|error| io(&self.directory, "listing", &error))?;
        for file in listing {
            // A file that was reclaimed meanwhile takes no bytes.
            if let Ok(metadata) = file.and_then(|file| file.metadata()) {
                bytes += metadata.blocks() * 512;
            }
        }
        Ok(bytes)
    }

    fn bootstrap(&self, voters: &[u64]) -> Result<(), LogError> {
        if !self.recovered()?.is_empty() {
            return Err(misuse(
                &self.directory,
                "bootstrap of a log that is not empty".to_owned(),
            ));
        }
        let first = Recovered::bootstrap(voters);
        self.write(Some(&first.start), Some(&first.hard_state), &[], true)
    }
}

impl<F: FileSystem> EngineLog<F> {
    fn put(&self, batch: &mut LogBatch, key: &[u8], value: Vec<u8>) -> Result<(), LogError> {
        batch
            .put(GROUP, key.to_vec(), value)
            .map_err(|error| self.engine_error("encoding", &error))
    }
}

impl<F: FileSystem> Drop for EngineLog<F> {
    /// The engine syncs when it is dropped and panics if that fails; whoever needs to know calls
    /// `close`.
    fn drop(&mut self) {
        let engine = self.state.get_mut().engine.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
    }
}

impl<F: FileSystem> std::fmt::Debug for EngineLog<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineLog")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

fn open_engine<F: FileSystem>(
    directory: &Path,
    config: EngineLogConfig,
    file_system: Arc<F>,
) -> Result<Engine<F>, LogError> {
    let engine_config = raft_engine::Config {
        dir: directory.to_string_lossy().into_owned(),
        recovery_mode: RecoveryMode::TolerateTailCorruption,
        recovery_threads: 1,
        target_file_size: ReadableSize(config.file_bytes),
        purge_threshold: ReadableSize(config.purge_bytes),
        // A recycled file holds old records behind its tail; without them a tail is plain to see.
        enable_log_recycle: false,
        ..raft_engine::Config::default()
    };
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Engine::open_with_file_system(engine_config, file_system)
    }));
    match opened {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(error)) => Err(engine_error(directory, "opening", &error)),
        Err(panic) => Err(LogError::Corrupt {
            directory: directory.to_path_buf(),
            reason: panic_text(panic.as_ref()),
        }),
    }
}

fn engine_error(directory: &Path, action: &'static str, error: &raft_engine::Error) -> LogError {
    let directory = directory.to_path_buf();
    let reason = error.to_string();
    match error {
        raft_engine::Error::Corruption(_)
        | raft_engine::Error::Codec(_)
        | raft_engine::Error::Protobuf(_)
        | raft_engine::Error::EntryCompacted
        | raft_engine::Error::EntryNotFound => LogError::Corrupt { directory, reason },
        // The engine has no error of its own for a held lock.
        raft_engine::Error::Other(_) if reason.contains("Failed to lock") => {
            LogError::InUse { directory }
        }
        _ => LogError::Io {
            directory,
            action,
            reason,
        },
    }
}

fn create_directory(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

fn sync_directory(directory: &Path) -> std::io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn io(directory: &Path, action: &'static str, error: &std::io::Error) -> LogError {
    LogError::Io {
        directory: directory.to_path_buf(),
        action,
        reason: error.to_string(),
    }
}
