"""One suite for every implementation of the store's seam."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_kvstore.errors import Corrupt, NotFound
from holdfast_metanode.state import tables
from holdfast_metanode.store import Checkpoint, LmdbStore, MemoryDisk, MemoryStore, Store
from holdfast_proto import command_pb2 as records

Opener = Callable[[str], Store]
SIZE = 64 << 20


@pytest.fixture(params=["memory", "lmdb"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the store of a name; the same name opens the same disk, as after a loss of power."""
    disks: dict[str, MemoryDisk] = {}
    boots = iter(range(1_000))

    def open_memory(name: str) -> Store:
        return MemoryStore(disks.setdefault(name, MemoryDisk()))

    def open_lmdb(name: str) -> Store:
        return LmdbStore(tmp_path / name, SIZE, boot_id=f"boot {next(boots)}")

    return open_memory if request.param == "memory" else open_lmdb


def put(store: Store, index: int, **items: bytes) -> None:
    with store.write() as writer:
        for key, value in items.items():
            writer.put(key.encode(), value)
        writer.put(tables.APPLIED, records.AppliedRecord(index=index, term=3).SerializeToString())


def get(store: Store, key: str) -> bytes | None:
    with store.read() as reader:
        return reader.get(key.encode())


def test_reads_see_commits_and_writers_their_own_changes(open_store: Opener) -> None:
    store = open_store("a")
    with store.write() as writer:
        writer.put(b"k", b"1")
        assert writer.get(b"k") == b"1"
        writer.delete(b"k")
        writer.delete(b"absent")
        assert writer.get(b"k") is None
        writer.put(b"k", b"2")
    assert get(store, "k") == b"2"
    store.close()
    store.close()


def test_exception_undoes_everything(open_store: Opener) -> None:
    store = open_store("a")
    put(store, 1, kept=b"1", gone=b"1")
    with suppress(RuntimeError), store.write() as writer:
        writer.put(b"kept", b"2")
        writer.delete(b"gone")
        writer.put(b"new", b"2")
        raise RuntimeError
    assert [get(store, key) for key in ("kept", "gone", "new")] == [b"1", b"1", None]
    with store.read() as reader:
        assert [key for key, _ in reader.scan(b"")] == [b"gone", b"kept", tables.APPLIED]
    store.close()


def test_scan_is_ordered_and_bounded_by_its_prefix(open_store: Opener) -> None:
    store = open_store("a")
    put(store, 1, a1=b"", a3=b"", a2=b"", b0=b"")
    with store.read() as reader:
        assert [key for key, _ in reader.scan(b"a")] == [b"a1", b"a2", b"a3"]
        assert not list(reader.scan(b"z"))
    store.close()


def test_only_checkpoints_survive_a_loss_of_power(open_store: Opener) -> None:
    store = open_store("a")
    assert store.newest_checkpoint() is None
    put(store, 5, k=b"old")
    taken = store.take_checkpoint()
    assert (taken.index, taken.term) == (5, 3)
    put(store, 6, k=b"new")
    store.close()
    again = open_store("a")
    assert get(again, "k") == b"old"
    found = again.newest_checkpoint()
    assert found is not None
    assert found.index == 5
    again.close()


def test_checkpoint_travels_and_installs(open_store: Opener) -> None:
    source, target = open_store("source"), open_store("target")
    put(source, 9, k=b"theirs", big=bytes(200_000))
    put(target, 2, k=b"ours", other=b"x")
    sent = source.take_checkpoint()
    pieces = list(source.pieces(sent.index))
    assert sum(map(len, pieces)) == sent.length_bytes
    target.stage(sent, pieces)
    assert get(target, "k") == b"ours"
    with target.read() as reader:
        target.install(sent.index)
        assert reader.get(b"other") in (b"x", None)  # a view that is open stays readable
    assert get(target, "k") == b"theirs"
    assert get(target, "other") is None
    put(target, 10, k=b"later")
    target.close()
    again = open_store("target")
    assert get(again, "k") == b"theirs"
    again.close()
    source.close()


@pytest.mark.parametrize("damage", ["short", "long", "flipped"])
def test_checkpoint_that_did_not_arrive_whole_is_refused(open_store: Opener, damage: str) -> None:
    source, target = open_store("source"), open_store("target")
    put(source, 9, k=b"theirs")
    sent = source.take_checkpoint()
    content = b"".join(source.pieces(sent.index))
    wrong = {
        "short": content[:-1],
        "long": content + b"x",
        "flipped": bytes([content[0] ^ 1]) + content[1:],
    }[damage]
    with pytest.raises(Corrupt, match="did not arrive whole"):
        target.stage(sent, [wrong])
    with pytest.raises(NotFound):
        target.install(sent.index)
    source.close()
    target.close()


def test_unknown_checkpoint_is_not_found(open_store: Opener) -> None:
    store = open_store("a")
    put(store, 4)
    store.take_checkpoint()
    put(store, 8)
    store.take_checkpoint()
    with pytest.raises(NotFound, match="ask for a newer one"):
        list(store.pieces(4))
    store.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=3), st.none() | st.binary(max_size=4)),
        max_size=40,
    )
)
def test_both_hold_the_same(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[bytes, bytes | None]]
) -> None:
    stores: list[Store] = [
        MemoryStore(),
        LmdbStore(tmp_path_factory.mktemp("both"), SIZE, boot_id="b"),
    ]
    contents = []
    for store in stores:
        with store.write() as writer:
            for key, value in changes:
                if value is None:
                    writer.delete(key)
                else:
                    writer.put(key, value)
        with store.read() as reader:
            contents.append((list(reader.scan(b"")), list(reader.scan(b"\x01"))))
        store.close()
    assert contents[0] == contents[1]


def test_crash_in_the_middle_of_an_install(tmp_path: Path) -> None:
    """Whatever a crash leaves: the newest whole checkpoint, or the live state that is ahead."""
    source = LmdbStore(tmp_path / "source", SIZE)
    put(source, 50, k=b"theirs")
    sent = source.take_checkpoint()
    target = LmdbStore(tmp_path / "target", SIZE, boot_id="b")
    put(target, 7, k=b"ours")
    target.stage(sent, source.pieces(50))
    target.close()
    incoming = tmp_path / "target" / "incoming-50"
    kept = tmp_path / "kept"
    incoming.rename(kept)
    (tmp_path / "target" / "incoming-60.partial").mkdir()
    again = LmdbStore(tmp_path / "target", SIZE, boot_id="b")
    assert get(again, "k") == b"ours"  # before the rename nothing has happened
    again.close()
    kept.rename(tmp_path / "target" / "checkpoint-50")
    again = LmdbStore(tmp_path / "target", SIZE, boot_id="b")
    assert get(again, "k") == b"theirs"  # after it the live state is behind and made anew
    assert again.newest_checkpoint() == sent
    again.close()
    source.close()


def test_live_state_survives_a_crash_of_the_process(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, SIZE, boot_id="b")
    put(store, 7, k=b"v")
    store.close()  # syncs nothing, like a kill; test_process_faults kills for real
    again = LmdbStore(tmp_path, SIZE, boot_id="b")
    assert get(again, "k") == b"v"
    again.close()


def test_checkpoint_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, SIZE, boot_id="b")
    put(store, 7, k=b"v")
    checkpoint: Checkpoint = store.take_checkpoint()
    store.close()
    (tmp_path / f"checkpoint-{checkpoint.index}" / "data.mdb").write_bytes(b"garbage" * 1000)
    with pytest.raises(Corrupt, match="join again"):
        LmdbStore(tmp_path, SIZE, boot_id="b")
