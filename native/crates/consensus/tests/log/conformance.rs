//! What every log must do.

use holdfast_consensus::{DurableLog, EngineLog, EngineLogConfig, LogError, MemoryLog, Recovered};
use tempfile::TempDir;

use crate::entries::{entries, hard_state, start};

/// A log that can be opened again.
trait Reopen: DurableLog + Sized {
    type Place;

    fn place() -> Self::Place;
    fn open(place: &Self::Place) -> Self;
}

impl Reopen for EngineLog {
    type Place = TempDir;

    fn place() -> TempDir {
        TempDir::new().expect("temporary directory")
    }

    fn open(place: &TempDir) -> Self {
        Self::open(&place.path().join("raft"), EngineLogConfig::default()).expect("open")
    }
}

/// The memory of a [`MemoryLog`] outlives the handle that is closed.
struct SharedMemoryLog(std::rc::Rc<MemoryLog>);

impl DurableLog for SharedMemoryLog {
    fn recovered(&self) -> Result<Recovered, LogError> {
        self.0.recovered()
    }

    fn write(
        &self,
        start: Option<&holdfast_consensus::Compaction>,
        hard_state: Option<&holdfast_consensus::HardStateRecord>,
        entries: &[holdfast_consensus::EntryRecord],
        sync: bool,
    ) -> Result<(), LogError> {
        self.0.write(start, hard_state, entries, sync)
    }

    fn compact_to(&self, compaction: &holdfast_consensus::Compaction) -> Result<(), LogError> {
        self.0.compact_to(compaction)
    }

    fn close(&self) -> Result<(), LogError> {
        self.0.close()
    }

    fn last_index(&self) -> Result<u64, LogError> {
        self.0.last_index()
    }

    fn sync_count(&self) -> u64 {
        self.0.sync_count()
    }

    fn bytes_on_disk(&self) -> Result<u64, LogError> {
        self.0.bytes_on_disk()
    }

    fn bootstrap(&self, voters: &[u64]) -> Result<(), LogError> {
        self.0.bootstrap(voters)
    }
}

impl Reopen for SharedMemoryLog {
    type Place = std::rc::Rc<MemoryLog>;

    fn place() -> Self::Place {
        std::rc::Rc::default()
    }

    fn open(place: &Self::Place) -> Self {
        if place.recovered().is_err() {
            place.crash(usize::MAX);
        }
        Self(place.clone())
    }
}

fn reopened<L: Reopen>(log: L, place: &L::Place) -> L {
    log.close().expect("close");
    drop(log);
    L::open(place)
}

fn a_new_log_is_empty<L: Reopen>() {
    let place = L::place();
    let log = reopened(L::open(&place), &place);
    let recovered = log.recovered().expect("recovered");
    assert!(recovered.is_empty());
    assert_eq!(recovered, Recovered::default());
    assert_eq!(log.last_index().expect("last"), 0);
}

fn bootstrap_happens_once<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[3, 1, 2]).expect("bootstrap");
    let again = log.bootstrap(&[1]).expect_err("not empty");
    assert!(matches!(again, LogError::Misuse { .. }), "{again}");
    let log = reopened(log, &place);
    let recovered = log.recovered().expect("recovered");
    assert_eq!(recovered, Recovered::bootstrap(&[1, 2, 3]));
    assert!(log.bootstrap(&[1]).is_err());
}

fn entries_and_hard_state_come_back<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    let written = entries(2, 1, &[0, 10, 300, 20_000, 1]);
    log.write(None, Some(&hard_state(1, 1)), &written, true)
        .expect("write");
    assert_eq!(log.last_index().expect("last"), 6);
    let log = reopened(log, &place);
    let recovered = log.recovered().expect("recovered");
    assert_eq!(recovered.entries, written);
    assert_eq!(recovered.hard_state, hard_state(1, 1));
    assert_eq!(recovered.last_index(), 6);
}

fn a_conflicting_suffix_is_replaced<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    let old = entries(2, 1, &[5; 8]);
    let new = entries(5, 2, &[7, 7]);
    log.write(None, Some(&hard_state(1, 3)), &old, true)
        .expect("write");
    log.write(None, Some(&hard_state(2, 3)), &new, true)
        .expect("overwrite");
    let mut expected = old[..3].to_vec();
    expected.extend(new);
    assert_eq!(log.recovered().expect("recovered").entries, expected);
    let log = reopened(log, &place);
    assert_eq!(log.recovered().expect("recovered").entries, expected);
    assert_eq!(log.last_index().expect("last"), 6);
}

fn the_whole_log_can_be_overwritten<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1]).expect("bootstrap");
    log.write(None, Some(&hard_state(1, 1)), &entries(2, 1, &[5; 8]), true)
        .expect("write");
    let new = entries(2, 4, &[9]);
    log.write(None, Some(&hard_state(4, 1)), &new, true)
        .expect("overwrite");
    let log = reopened(log, &place);
    assert_eq!(log.recovered().expect("recovered").entries, new);
}

fn compaction_drops_a_prefix<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    let written = entries(2, 1, &[5; 20]);
    log.write(None, Some(&hard_state(1, 21)), &written, true)
        .expect("write");
    log.compact_to(&start(11, 1)).expect("compact");
    log.compact_to(&start(7, 1))
        .expect("an older compaction changes nothing");
    let beyond = log.compact_to(&start(22, 1)).expect_err("beyond the log");
    assert!(matches!(beyond, LogError::Misuse { .. }), "{beyond}");
    let log = reopened(log, &place);
    let recovered = log.recovered().expect("recovered");
    assert_eq!(recovered.start, start(11, 1));
    assert_eq!(recovered.entries, written[10..]);
    log.compact_to(&start(21, 1)).expect("compact everything");
    log.write(None, None, &entries(22, 1, &[1, 2]), true)
        .expect("go on");
    let log = reopened(log, &place);
    let recovered = log.recovered().expect("recovered");
    assert_eq!((recovered.start.index, recovered.last_index()), (21, 23));
}

fn a_snapshot_replaces_everything<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    log.write(
        None,
        Some(&hard_state(1, 5)),
        &entries(2, 1, &[5; 20]),
        true,
    )
    .expect("write");
    // In the middle of the log, with a follow-up in the same batch.
    let follow_up = entries(16, 3, &[4, 4]);
    log.write(
        Some(&start(15, 3)),
        Some(&hard_state(3, 15)),
        &follow_up,
        true,
    )
    .expect("replace");
    let log = reopened(log, &place);
    let recovered = log.recovered().expect("recovered");
    assert_eq!(recovered.start, start(15, 3));
    assert_eq!(recovered.entries, follow_up);
    assert_eq!(recovered.hard_state, hard_state(3, 15));
    log.install_snapshot(&start(100, 5)).expect("install");
    let log = reopened(log, &place);
    let recovered = log.recovered().expect("recovered");
    assert_eq!(recovered.start, start(100, 5));
    assert!(recovered.entries.is_empty());
    let hard_state = recovered.hard_state;
    assert_eq!(
        (hard_state.term(), hard_state.vote(), hard_state.commit()),
        (5, 0, 100)
    );
    log.write(None, None, &entries(101, 5, &[4]), true)
        .expect("go on");
    assert_eq!(log.last_index().expect("last"), 101);
}

fn entries_that_do_not_continue_are_refused<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    log.write(None, None, &entries(2, 1, &[5; 3]), true)
        .expect("write");
    let mut holes = entries(5, 1, &[1, 1]);
    holes.remove(0);
    holes.extend(entries(9, 1, &[1]));
    for refused in [entries(6, 1, &[1]), entries(1, 1, &[1]), holes] {
        let error = log.write(None, None, &refused, true).expect_err("refused");
        assert!(matches!(error, LogError::Misuse { .. }), "{error}");
    }
    assert_eq!(log.last_index().expect("last"), 4);
    log.write(None, None, &entries(5, 1, &[1]), true)
        .expect("and it still works");
}

fn one_batch_is_one_sync<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.bootstrap(&[1]).expect("bootstrap");
    let before = log.sync_count();
    log.write(
        None,
        Some(&hard_state(1, 1)),
        &entries(2, 1, &[100; 64]),
        true,
    )
    .expect("write");
    assert_eq!(log.sync_count() - before, 1);
    log.write(None, Some(&hard_state(1, 65)), &[], false)
        .expect("commit only");
    assert_eq!(log.sync_count() - before, 1);
    assert!(log.bytes_on_disk().expect("bytes") > 6400);
}

fn a_closed_log_refuses<L: Reopen>() {
    let place = L::place();
    let log = L::open(&place);
    log.close().expect("close");
    log.close().expect("closing twice is fine");
    for error in [
        log.recovered().expect_err("recovered"),
        log.last_index().expect_err("last_index"),
        log.write(None, None, &entries(1, 1, &[1]), true)
            .expect_err("write"),
        log.compact_to(&start(1, 1)).expect_err("compact_to"),
        log.bootstrap(&[1]).expect_err("bootstrap"),
    ] {
        assert!(matches!(error, LogError::Closed { .. }), "{error}");
    }
}

macro_rules! suite {
    ($name:ident, $log:ty, [$($case:ident),* $(,)?]) => {
        mod $name {
            $(
                #[test]
                fn $case() {
                    super::$case::<$log>();
                }
            )*
        }
    };
}

macro_rules! both {
    ($cases:tt) => {
        suite!(engine_log, super::EngineLog, $cases);
        suite!(memory_log, super::SharedMemoryLog, $cases);
    };
}

both!([
    a_new_log_is_empty,
    bootstrap_happens_once,
    entries_and_hard_state_come_back,
    a_conflicting_suffix_is_replaced,
    the_whole_log_can_be_overwritten,
    compaction_drops_a_prefix,
    a_snapshot_replaces_everything,
    entries_that_do_not_continue_are_refused,
    one_batch_is_one_sync,
    a_closed_log_refuses,
]);
