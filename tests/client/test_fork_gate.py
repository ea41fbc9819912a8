"""The gate that keeps threads out of gRPC while the process forks."""

from __future__ import annotations

import gc
import threading
import weakref

from holdfast._fork_gate import ForkGate
from holdfast._metadata import Watch
from holdfast_proto import meta_pb2 as pb

PATIENCE_S = 10.0


class Stream:
    """A streaming call that nobody answers."""

    cancelled = False

    def __next__(self) -> pb.MapReply:
        raise StopIteration

    def cancel(self) -> None:
        self.cancelled = True


def test_a_fork_waits_for_calls_and_new_calls_wait_for_the_fork() -> None:
    gate, inside, leave = ForkGate(), threading.Event(), threading.Event()
    forking, entered = threading.Event(), threading.Event()

    def call() -> None:
        with gate.inside():
            inside.set()
            leave.wait(PATIENCE_S)

    def call_later() -> None:
        forking.wait(PATIENCE_S)
        with gate.inside():
            entered.set()

    callers = [threading.Thread(target=call), threading.Thread(target=call_later)]
    for caller in callers:
        caller.start()
    assert inside.wait(PATIENCE_S)
    gate.add_stream("stream", leave.set)  # what a fork ends is what the first caller waits for
    gate.before_fork()
    assert leave.is_set()
    forking.set()
    assert not entered.is_set()
    gate.after_fork_in_parent()
    assert entered.wait(PATIENCE_S)
    for caller in callers:
        caller.join(PATIENCE_S)


def test_a_cancelled_watch_is_not_kept() -> None:
    stream = Stream()
    watch = Watch("127.0.0.1:1", stream)
    known = weakref.ref(watch)
    watch.cancel()
    del watch
    gc.collect()
    assert stream.cancelled and known() is None
