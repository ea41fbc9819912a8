"""The background thread of a cluster object: renewals go on, whatever happens to one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

import holdfast
from holdfast._map_watch import MapWatch
from holdfast._metadata import Watch
from holdfast._space_binding import SpaceBinding
from holdfast.local_cluster.waiting import wait_for
from holdfast_proto import meta_pb2 as pb

LONG_S = 1000.0
"""Life of a ticket that needs no renewal while a test runs."""


class Silence:
    """A streaming call without answers, until it is cancelled."""

    def __init__(self) -> None:
        self._ended = Event()

    def __next__(self) -> pb.MapReply:
        self._ended.wait(30)
        raise StopIteration

    def cancel(self) -> None:
        self._ended.set()


class Rig:
    """What a map watch needs of a session; records what was renewed."""

    def __init__(self) -> None:
        self.metadata = SimpleNamespace(
            stream=lambda *_: Watch("host:1", Silence()),
            members=SimpleNamespace(failed=lambda _: None),
            close=lambda: None,
        )
        self.native = SimpleNamespace(epoch=1, close=lambda _: None)
        self.completions = SimpleNamespace(close=lambda: None)
        self.renewed: list[int] = []
        self.tenant_renewals = 0
        self.on_renewal: dict[int, Callable[[SpaceBinding], None]] = {}

    def renew_tenant(self) -> float:
        self.tenant_renewals += 1
        return LONG_S

    def renew_space(self, binding: SpaceBinding) -> float:
        self.renewed.append(binding.number)
        action = self.on_renewal.pop(binding.number, None)
        if action is not None:
            action(binding)
        return LONG_S


def binding_of(number: int) -> SpaceBinding:
    return SpaceBinding(pb.SpaceInfo(number=number, name=f"space-{number}"))


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def watch(rig: Rig) -> Iterator[MapWatch]:
    session: Any = rig
    made = MapWatch(session, LONG_S)
    made.start()
    yield made
    made.stop()
    made.join(10)


def test_a_space_that_is_gone_and_reopened_during_its_renewal_disturbs_nothing(
    rig: Rig, watch: MapWatch, caplog: pytest.LogCaptureFixture
) -> None:
    def reopened(binding: SpaceBinding) -> None:
        watch.keep_ticket(binding, LONG_S)
        raise holdfast.NotFound("deleted just before it was opened again")

    rig.on_renewal[1] = reopened
    with caplog.at_level(logging.ERROR, "holdfast"):
        watch.keep_ticket(binding_of(1), LONG_S)
        watch.keep_ticket(binding_of(2), LONG_S)
        watch.renew_tickets()
        wait_for("the renewals", lambda: 2 in rig.renewed, 10)
    assert not caplog.records
    assert rig.renewed[:2] == [1, 2]
    # The renewal that came with the reopening stays.
    watch.renew_tickets()
    wait_for("a renewal of the reopened space", lambda: rig.renewed.count(1) == 2, 10)


def test_looking_for_a_map_does_not_keep_tickets_from_their_renewal(
    rig: Rig, watch: MapWatch
) -> None:
    watch.refresh_map()
    watch.refresh_tickets()
    wait_for("the tenant's renewal", lambda: rig.tenant_renewals == 1, 10)


def test_a_deleted_space_is_not_renewed_again(rig: Rig, watch: MapWatch) -> None:
    def deleted(binding: SpaceBinding) -> None:
        raise holdfast.NotFound("deleted")

    rig.on_renewal[1] = deleted
    watch.keep_ticket(binding_of(1), LONG_S)
    watch.keep_ticket(binding_of(2), LONG_S)
    watch.renew_tickets()
    wait_for("the renewals", lambda: rig.renewed.count(2) == 1, 10)
    watch.renew_tickets()
    wait_for("the renewals once more", lambda: rig.renewed.count(2) == 2, 10)
    assert rig.renewed.count(1) == 1


def test_a_fault_of_what_is_closed_beneath_the_watch_is_no_fault(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    session: Any = rig
    watch = MapWatch(session, LONG_S)

    def closed_meanwhile(*_: object) -> Watch[pb.MapReply]:
        watch.stop()
        raise ValueError("Cannot invoke RPC: Channel closed!")

    rig.metadata.stream = closed_meanwhile
    with caplog.at_level(logging.INFO, "holdfast"):
        watch.start()
        watch.join(10)
    assert not caplog.records
