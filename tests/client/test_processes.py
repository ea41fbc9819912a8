"""A program with a cluster object: forks, signals, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import holdfast

pytestmark = pytest.mark.process

PRELUDE = """
import os, sys, time, threading
import holdfast

address, tenant, key = sys.argv[1:4]
def connect(**options):
    return holdfast.connect(address, tenant=tenant, key=key, **options)
def wait_child(child):
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""


def command(local: holdfast.LocalCluster, program: str) -> list[str]:
    text = PRELUDE + textwrap.dedent(program)
    return [sys.executable, "-c", text, local.address, local.tenant, local.key]


def run(local: holdfast.LocalCluster, program: str) -> str:
    done = subprocess.run(
        command(local, program), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_and_connect_start_nothing(local: holdfast.LocalCluster) -> None:
    run(
        local,
        """
        def held():
            return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
        before = held()
        cluster = connect()
        assert threading.active_count() == 1
        assert held() == before
        """,
    )


def test_a_used_object_raises_in_a_child_and_the_parent_goes_on(
    local: holdfast.LocalCluster,
) -> None:
    run(
        local,
        """
        cluster = connect()
        space = cluster.space("forks", block_bytes=64, create=True)
        region = space.allocate(64)
        assert space.put([b"key"], region.blocks()).kept == 1
        pending = space.futures.match([b"key"])
        child = os.fork()
        if child == 0:
            for call in (lambda: space.match([b"key"]), lambda: cluster.space("forks"),
                         lambda: space.futures.match([b"key"]), pending.done, pending.result,
                         pending.cancel, lambda: pending.add_done_callback(print)):
                try:
                    call()
                except holdfast.ForkedError as error:
                    assert str(os.getpid()) in str(error)
                else:
                    os._exit(2)
            cluster.close()
            region.close()
            os._exit(0)
        wait_child(child)
        assert space.match([b"key"]) == 1
        assert pending.result() == 1
        """,
    )


def test_an_unused_object_works_in_a_child(local: holdfast.LocalCluster) -> None:
    run(
        local,
        """
        cluster = connect()
        child = os.fork()
        if child == 0:
            space = cluster.space("forks", block_bytes=64, create=True)
            region = space.allocate(64)
            assert space.put([b"child"], region.blocks()).kept == 1
            sys.exit(0)
        wait_child(child)
        assert cluster.space("forks").match([b"child"]) == 1
        """,
    )


def test_a_child_connects_anew_although_the_parent_is_connected(
    local: holdfast.LocalCluster,
) -> None:
    run(
        local,
        """
        cluster = connect()
        parents = cluster.space("forks", block_bytes=64, create=True)
        ended = threading.Event()
        def ask():
            while not ended.is_set():
                cluster.spaces()
        asking = threading.Thread(target=ask)
        asking.start()
        for turn in range(10):
            parents.match([b"key"])
            child = os.fork()
            if child == 0:
                with connect() as mine:
                    space = mine.space("forks", block_bytes=64, create=True)
                    region = space.allocate(64)
                    assert space.put([b"anew"], region.blocks()).kept == 1
                os._exit(0)
            wait_child(child)
            assert parents.match([b"anew"]) == 1
        ended.set()
        asking.join()
        """,
    )


@pytest.mark.parametrize(
    "left_open",
    [
        "pass",
        "pending = [space.futures.match([b'key']) for _ in range(10)]",
        "space.futures.match([b'key']).add_done_callback(print)",
        "threading.Thread(target=lambda: space.match([b'key']), daemon=True).start()",
    ],
)
def test_an_interpreter_ends_without_a_close(local: holdfast.LocalCluster, left_open: str) -> None:
    start = time.monotonic()
    run(
        local,
        f"""
        cluster = connect()
        space = cluster.space("exits", block_bytes=64, create=True)
        space.match([b"key"])
        {left_open}
        """,
    )
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("memory", ["allocate(size)", "register(Mapped(-1, size))"])
def test_an_interpreter_ends_while_daemon_threads_let_their_memory_go(
    local: holdfast.LocalCluster, memory: str
) -> None:
    """Unmapping lets go of the interpreter, and one that ends takes no thread back."""
    program = f"""
        from mmap import mmap as Mapped

        size, blocks = 16 << 20, 16
        cluster = connect(transport="tcp")
        space = cluster.space("unmaps", block_bytes=size // blocks, create=True)
        keys = [bytes([number]) for number in range(blocks)]
        started = threading.Barrier(7)
        def loop():
            segments = space.{memory}.blocks()
            space.put(keys, segments)
            started.wait()
            try:
                while True:
                    space.get(keys, segments)
            except holdfast.Closed:
                return
        for _ in range(6):
            threading.Thread(target=loop, daemon=True).start()
        started.wait()
        """
    for _ in range(5):
        done = subprocess.run(command(local, program), capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


DROPS = """
import gc
from holdfast.local_cluster.waiting import wait_for

def held():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

def is_no_more_than(before):
    return all(mine <= first for mine, first in zip(held(), before))

def used():
    cluster = connect()
    space = cluster.space("drops", block_bytes=64, create=True)
    space.match([b"key"])
    space.futures.match([b"key"]).result()
    return cluster, space

with connect() as warm:
    warm.spaces()
"""


def test_an_object_that_is_dropped_is_closed(local: holdfast.LocalCluster) -> None:
    run(
        local,
        DROPS
        + textwrap.dedent(
            """
            def watches():
                return sum(thread.name == "holdfast-map" for thread in threading.enumerate())
            for _ in range(3):
                used()
            wait_for("the end of the first ones", lambda: watches() == 0, 20)
            before = held()
            for number in range(10):
                pair = used()
                if number % 2:
                    cycle = [pair]
                    cycle.append(cycle)
                    del cycle
                del pair
            gc.collect()
            wait_for("their end", lambda: watches() == 0 and is_no_more_than(before), 20)
            """
        ),
    )


def test_a_space_keeps_its_dropped_cluster_object_open(local: holdfast.LocalCluster) -> None:
    run(
        local,
        DROPS
        + textwrap.dedent(
            """
            space = used()[1]
            gc.collect()
            for _ in range(3):
                assert space.match([b"key"]) == 0
            """
        ),
    )


def test_an_interpreter_ends_right_after_objects_were_dropped(
    local: holdfast.LocalCluster,
) -> None:
    start = time.monotonic()
    run(
        local,
        DROPS
        + textwrap.dedent(
            """
            kept = used()
            for _ in range(5):
                used()
            """
        ),
    )
    assert time.monotonic() - start < 15


def test_a_child_drops_what_its_parent_uses(local: holdfast.LocalCluster) -> None:
    run(
        local,
        DROPS
        + textwrap.dedent(
            """
            pair = used()
            child = os.fork()
            if child == 0:
                del pair
                gc.collect()
                sys.exit(0)
            wait_child(child)
            assert pair[1].match([b"key"]) == 0
            """
        ),
    )


def test_an_interpreter_ends_while_a_node_hangs() -> None:
    with holdfast.local(data_nodes=1, arena_mib=16) as own:
        program = """
            cluster = connect(timeouts=holdfast.Timeouts(close_s=2))
            space = cluster.space("exits", block_bytes=64, create=True)
            space.match([b"key"])
            print("ready", flush=True)
            sys.stdin.readline()
            pending = space.futures.match([b"key"], deadline=60)
            """
        with subprocess.Popen(
            command(own, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            own.data_nodes[0].pause()
            try:
                process.stdin.write("go\n")
                process.stdin.flush()
                assert process.wait(15) == 0
            finally:
                own.data_nodes[0].resume()


def test_a_region_in_use_stays_with_its_calls_and_with_its_process() -> None:
    with holdfast.local(data_nodes=1, arena_mib=16) as own, own.connect() as cluster:
        space = cluster.space("regions", block_bytes=64, create=True)
        space.match([b"key"])
        region = space.allocate(64)
        blocks = region.blocks()
        own.data_nodes[0].pause()
        try:
            pending = space.futures.get([b"key"], blocks, deadline=60)
            child = os.fork()
            if child == 0:
                start = time.monotonic()
                try:
                    region.close(30)
                except holdfast.ForkedError:
                    os._exit(0 if time.monotonic() - start < 5 else 3)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            with pytest.raises(holdfast.DeadlineExceeded, match="close it again"):
                region.close(0.05)
            assert not region.closed
            with pytest.raises(holdfast.Closed):
                space.get([b"key"], blocks)
            pending.cancel()
            region.close()
            assert region.closed
        finally:
            own.data_nodes[0].resume()


def test_ctrl_c_ends_a_wait() -> None:
    with holdfast.local(data_nodes=1, arena_mib=16) as own:
        program = """
            cluster = connect()
            space = cluster.space("signals", block_bytes=64, create=True)
            space.match([b"key"])
            print("ready", flush=True)
            sys.stdin.readline()
            try:
                print("waiting", flush=True)
                space.match([b"key"], deadline=60)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            """
        with subprocess.Popen(
            command(own, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            own.data_nodes[0].pause()
            try:
                process.stdin.write("go\n")
                process.stdin.flush()
                assert process.stdout.readline() == "waiting\n"
                start = time.monotonic()
                process.send_signal(signal.SIGINT)
                assert process.stdout.readline() == "interrupted\n"
                assert time.monotonic() - start < 3
                process.wait(15)
            finally:
                own.data_nodes[0].resume()


def test_daemons_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    program = """
        import holdfast, os, signal, sys
        running = holdfast.local(data_nodes=1, arena_mib=16)
        running.start()
        print(*(daemon.pid for daemon in (*running.members, *running.data_nodes)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=tmp_path,
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    end = time.monotonic() + 15
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < end, f"daemons {pids} outlived their parent"


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
