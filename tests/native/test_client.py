"""The native client through its Python face, against a native node in the same process."""

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import holdfast_native as native
from tests.native.client_bed import (
    BLOCK_BYTES,
    CLUSTER,
    DEADLINE_MS,
    DELETE,
    EXISTS,
    GET,
    PIN,
    PUT,
    SPACE,
    STAT,
    TENANT,
    client_of,
    ended,
    random_keys,
    serving_node,
    whole,
)

HIT = bytes([native.KeyStatus.HIT])
MISS = bytes([native.KeyStatus.MISS])
STORED = bytes([native.KeyStatus.STORED])


@pytest.fixture(params=["tcp", "shm"])
def client(request: pytest.FixtureRequest) -> Iterator[native.Client]:
    with serving_node() as node:
        client = client_of(node.tcp_address, node.unix_path, request.param)
        yield client
        client.close(5000)


@pytest.fixture
def stuck() -> Iterator[native.Client]:
    """A client of a node that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = client_of(f"127.0.0.1:{server.getsockname()[1]}", None)
        yield client
        client.close(5000)


def test_blocks_come_back_for_packed_and_listed_keys(client: native.Client) -> None:
    blocks = 12
    source = np.random.default_rng(1).integers(0, 256, (blocks, BLOCK_BYTES), dtype=np.uint8)
    keys = random_keys(blocks, 2)
    put = client.start(
        PUT, SPACE, keys, whole(native.Region(source.data), blocks), 0, DEADLINE_MS, False
    )
    assert ended(put) == STORED * blocks
    assert put.outcome()[1] == {}
    target = np.zeros_like(source)
    listed = [bytes(row) for row in np.asarray(keys)]
    get = client.start(
        GET, SPACE, listed, whole(native.Region(target.data), blocks), 0, DEADLINE_MS, False
    )
    assert ended(get) == HIT * blocks
    assert (source == target).all()
    facts = client.start(STAT, SPACE, keys, None, 0, DEADLINE_MS, False)
    assert ended(facts) == HIT * blocks
    _, _, *rows = facts.outcome()
    assert [fact[:2] for fact in rows[0]] == [(1, native.crc32c(row.data)) for row in source]
    assert ended(client.start(PIN, SPACE, keys, None, 1000, DEADLINE_MS, False)) == HIT * blocks
    assert ended(client.start(DELETE, SPACE, keys[:5], None, 0, DEADLINE_MS, False)) == HIT * 5
    exists = client.start(EXISTS, SPACE, keys, None, 0, DEADLINE_MS, False)
    assert ended(exists) == MISS * 5 + HIT * 7
    assert exists.outcome()[1] == {"absent": 5}


def test_a_call_without_keys_is_done_at_once(client: native.Client) -> None:
    operation = client.start(EXISTS, SPACE, [], None, 0, DEADLINE_MS, False)
    assert operation.done
    assert operation.outcome()[0] == b""


def test_run_answers_the_outcome_of_a_finished_call(client: native.Client) -> None:
    keys = random_keys(3, 2)
    assert client.run(EXISTS, SPACE, keys, None, 0, DEADLINE_MS) == (MISS * 3, {"absent": 3})
    memory = np.zeros((3, BLOCK_BYTES), np.uint8)
    segments = whole(native.Region(memory.data), 3)
    assert client.run(PUT, SPACE, keys, segments, 0, DEADLINE_MS) == (STORED * 3, {})
    assert client.run(GET, SPACE, keys, segments, 0, DEADLINE_MS) == (HIT * 3, {})


@pytest.mark.parametrize("kind", [GET, PUT, EXISTS, 6])
def test_a_kind_that_does_not_fit_is_refused(client: native.Client, kind: int) -> None:
    memory = np.zeros((1, BLOCK_BYTES), np.uint8)
    region = whole(native.Region(memory.data), 1) if kind == EXISTS else None
    with pytest.raises(ValueError, match=r"segments|OperationKind"):
        client.run(kind, SPACE, random_keys(1, 1), region, 0, DEADLINE_MS)


def test_the_end_is_told_through_the_descriptor(client: native.Client) -> None:
    keys = random_keys(100, 3)
    tokens = {
        client.start(EXISTS, SPACE, keys, None, 0, DEADLINE_MS, True).token for _ in range(50)
    }
    told: set[int] = set()
    while told != tokens:
        readable, _, _ = select.select([client.event_fd()], [], [], 30)
        assert readable, f"only {len(told)} of {len(tokens)} were told"
        told.update(client.completed())


def test_ids_are_the_same_for_both_forms_of_keys() -> None:
    keys = random_keys(9, 4)
    packed = native.block_ids(CLUSTER, TENANT, SPACE, keys)
    assert packed == native.block_ids(
        CLUSTER, TENANT, SPACE, [bytes(row) for row in np.asarray(keys)]
    )
    assert len(packed) == 9 * 16
    assert packed != native.block_ids(CLUSTER, TENANT, SPACE + 1, keys)
    assert native.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    "keys",
    [
        memoryview(b"flat"),
        np.zeros((2, 3), np.int32).data,
        np.zeros((4, 6), np.uint8)[:, ::2].data,
        np.zeros((2, 0), np.uint8).data,
    ],
)
def test_keys_of_another_form_are_refused(keys: memoryview) -> None:
    with pytest.raises(ValueError, match="keys"):
        native.block_ids(CLUSTER, TENANT, SPACE, keys)


def test_segments_that_do_not_fit_are_refused(client: native.Client) -> None:
    region = native.Region(np.zeros((2, BLOCK_BYTES), np.uint8).data)
    with pytest.raises(native.SegmentsError, match=r"index 2 reaches bytes \[40000, 60000\)"):
        whole(region, 3)
    with pytest.raises(native.SegmentsError, match="3 keys but segments of 2 blocks"):
        client.start(GET, SPACE, random_keys(3, 1), whole(region, 2), 0, DEADLINE_MS, False)
    small = native.Segments([(region, 0, 10, 1, 0, 10)], np.arange(1).data)
    with pytest.raises(native.SegmentsError, match="of 20000 bytes, the segments describe 10"):
        client.start(PUT, SPACE, random_keys(1, 1), small, 0, DEADLINE_MS, False)
    readonly = whole(native.Region(bytes(BLOCK_BYTES)), 1)
    with pytest.raises(native.SegmentsError, match="read-only"):
        client.start(GET, SPACE, random_keys(1, 1), readonly, 0, DEADLINE_MS, False)
    with pytest.raises(native.SegmentsError, match="not C-contiguous"):
        native.Region(np.zeros((4, 4), np.uint8)[:, ::2].data)
    with pytest.raises(native.ClientError, match="space 99 is not bound"):
        client.start(EXISTS, 99, random_keys(1, 1), None, 0, DEADLINE_MS, False)


def test_a_region_in_use_is_not_closed(stuck: native.Client) -> None:
    memory = np.zeros((1, BLOCK_BYTES), np.uint8)
    region = native.Region(memory.data)
    segments = whole(region, 1)
    operation = stuck.start(GET, SPACE, random_keys(1, 1), segments, 0, DEADLINE_MS, False)
    assert not region.close(10)
    operation.cancel()
    assert operation.outcome()[0] == bytes([native.KeyStatus.CANCELLED])
    assert region.close(10)
    assert region.closed
    with pytest.raises(native.ClosedError):
        stuck.start(GET, SPACE, random_keys(1, 1), segments, 0, DEADLINE_MS, False)


class Owner:
    """Something that a weak reference can watch."""


def test_a_region_keeps_its_owner_until_it_is_let_go() -> None:
    memory = np.zeros(100, np.uint8)
    for let_go in ("close", "drop"):
        owner = Owner()
        watched = weakref.ref(owner)
        region = native.Region.from_address(memory.ctypes.data, 100, owner, False)
        segments = native.Segments([(region, 0, 1, 1, 0, 1)], np.arange(1).data)
        del owner
        gc.collect()
        assert watched() is not None
        if let_go == "close":
            assert region.close(1000)
            assert watched() is None
        del region, segments
        gc.collect()
        assert watched() is None


def test_a_signal_ends_a_wait(stuck: native.Client) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        operation = stuck.start(EXISTS, SPACE, random_keys(1, 1), None, 0, DEADLINE_MS, False)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            operation.wait(DEADLINE_MS)
    finally:
        signal.signal(signal.SIGALRM, before)
    operation.cancel()


def test_a_forked_child_is_refused_and_the_parent_goes_on(client: native.Client) -> None:
    keys = random_keys(4, 1)
    running = client.start(EXISTS, SPACE, keys, None, 0, DEADLINE_MS, False)
    child = os.fork()
    if child == 0:
        refused = 0
        for attempt in (
            lambda: client.start(EXISTS, SPACE, keys, None, 0, DEADLINE_MS, False),
            lambda: running.wait(10),
            client.stats,
            lambda: client.close(10),
        ):
            try:
                attempt()
            except native.ForkedError:
                refused += 1
        os._exit(0 if refused == 4 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert ended(running) == MISS * 4
    assert ended(client.start(EXISTS, SPACE, keys, None, 0, DEADLINE_MS, False)) == MISS * 4


EXIT_SCRIPT = """
import socket
from tests.native.client_bed import *
server = socket.create_server(("127.0.0.1", 0))
client = client_of(f"127.0.0.1:{server.getsockname()[1]}", None)
memory = np.zeros((1, BLOCK_BYTES), np.uint8)
held = [client.start(EXISTS, SPACE, random_keys(1, 1), None, 0, 600_000, True) for _ in range(10)]
client.start(GET, SPACE, random_keys(1, 1), whole(native.Region(memory.data), 1), 0, 600_000, False)
print("leaving")
"""


def test_exit_does_not_wait_for_operations() -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path.cwd()), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", EXIT_SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "leaving\n"), done.stderr


def test_a_closed_client_says_so(client: native.Client) -> None:
    client.close(5000)
    client.close(5000)
    with pytest.raises(native.ClosedError):
        client.start(EXISTS, SPACE, random_keys(1, 1), None, 0, DEADLINE_MS, False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lanes", 0), ("operations_max", 0), ("transport", "rdma"), ("cluster", b"short")],
)
def test_settings_out_of_range_are_named(setting: str, value: object) -> None:
    settings: dict[str, object] = {"cluster": CLUSTER, "client": bytes(16), setting: value}
    with pytest.raises(ValueError, match=setting):
        native.Client(**settings)  # type: ignore[arg-type]
