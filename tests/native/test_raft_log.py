"""The durable log through its Python face."""

import threading
from pathlib import Path

import pytest

import holdfast_native as native


def leader_on(log: native.RaftLog | native.RaftMemoryLog) -> native.RaftCore:
    recovered = log.recovered()
    core = native.RaftCore(
        native.RaftConfig(1), recovered, applied=recovered.snapshot_index, seed=5
    )
    core.campaign()
    persist(core, log)
    return core


def persist(core: native.RaftCore, log: native.RaftLog | native.RaftMemoryLog) -> int:
    """Runs the loop; returns how many entries were committed."""
    committed = 0
    while (effects := core.ready()) is not None:
        log.persist(effects)
        core.advance(effects.number)
        if effects.committed:
            core.advance_apply(effects.committed[-1].index)
            committed += len(effects.committed)
    return committed


def test_many_proposals_take_one_sync_and_survive_a_restart(tmp_path: Path) -> None:
    log = native.RaftLog.open(tmp_path / "raft")
    log.bootstrap([1])
    core = leader_on(log)
    before = log.sync_count
    positions = [core.propose(b"", b"%d" % number) for number in range(64)]
    assert persist(core, log) == 64
    assert log.sync_count == before + 1
    log.close()
    again = native.RaftLog.open(str(tmp_path / "raft"))
    recovered = again.recovered()
    found = [(index, term) for index, term, _ in recovered.entries]
    assert found[-64:] == positions
    assert recovered.last_index == again.last_index == positions[-1][0]
    assert again.bytes_on_disk > 0


def test_a_directory_is_opened_once(tmp_path: Path) -> None:
    log = native.RaftLog.open(tmp_path)
    with pytest.raises(native.RaftLogInUseError, match="in use"):
        native.RaftLog.open(tmp_path)
    log.close()
    with pytest.raises(native.RaftLogClosedError):
        log.recovered()
    native.RaftLog.open(tmp_path).close()


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_a_log_is_compacted_and_replaced(kind: str, tmp_path: Path) -> None:
    log = native.RaftLog.open(tmp_path) if kind == "disk" else native.RaftMemoryLog()
    log.bootstrap([1])
    core = leader_on(log)
    for number in range(10):
        core.propose(b"", b"%d" % number)
    persist(core, log)
    compaction = core.compact(core.applied - 3)
    log.compact_to(compaction)
    recovered = log.recovered()
    assert (recovered.snapshot_index, len(recovered.entries)) == (compaction.index, 3)
    assert recovered.configuration == compaction.configuration
    log.install_snapshot(1000, 9, native.RaftConfiguration([1, 2]))
    recovered = log.recovered()
    assert (recovered.first_index, recovered.last_index) == (1001, 1000)
    assert (recovered.term, recovered.commit) == (9, 1000)
    with pytest.raises(native.RaftLogError, match="not empty"):
        log.bootstrap([1])


def test_entries_move_from_one_log_to_another_by_hand() -> None:
    log, copy = native.RaftMemoryLog(), native.RaftMemoryLog()
    log.bootstrap([1])
    core = leader_on(log)
    core.propose(b"", b"data")
    persist(core, log)
    recovered = log.recovered()
    copy.bootstrap([1])
    copy.append(recovered.hard_state, recovered.entries, True)
    assert copy.recovered().entries == recovered.entries
    with pytest.raises(native.RaftLogError, match="do not continue"):
        copy.append(None, recovered.entries[:0] + recovered.entries[-1:] * 2, True)
    with pytest.raises(native.RaftMessageError):
        copy.append(None, [(1, 1, b"garbage")], True)
    copy.crash()
    assert copy.recovered().entries == recovered.entries


def test_a_crash_of_the_memory_log_forgets_what_was_not_synced() -> None:
    log = native.RaftMemoryLog()
    log.bootstrap([1])
    core = leader_on(log)
    core.propose(b"", b"data")
    persist(core, log)
    synced = log.recovered()
    twin = native.RaftMemoryLog()
    twin.bootstrap([1])
    twin.append(synced.hard_state, synced.entries[:1], True)
    twin.append(None, synced.entries[1:], False)
    assert twin.last_index == synced.last_index
    twin.crash()
    assert twin.last_index == synced.entries[0][0]


def test_writing_lets_other_threads_run(tmp_path: Path) -> None:
    log = native.RaftLog.open(tmp_path)
    log.bootstrap([1])
    core = leader_on(log)
    stop = threading.Event()
    counted = 0

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    for number in range(50):
        core.propose(b"", b"%d" % number)
        persist(core, log)
    stop.set()
    thread.join(timeout=10)
    assert counted > 50
