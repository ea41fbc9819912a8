"""An engine's connection: opened, lost and found again while the engine serves."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.settings import EngineSettings
from holdfast.errors import ConfigInvalid, InvalidArgument
from holdfast.local_cluster.waiting import wait_for
from tests.engines.conftest import reach_of

BLOCK_BYTES = 512
FACTS = Fingerprint({"test": "link"})
LOG = logging.getLogger("tests.engines.link")
WAIT_S = 30.0
SOON_S = 4.0
"""Longest time of what must not wait for the cluster."""


def link_of(settings: dict[str, Any]) -> Link:
    return Link(EngineSettings.of(settings), Counters(), LOG)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[holdfast.LocalCluster]:
    """A cluster of one test, which may stop it and start it again."""
    with holdfast.local(directory=tmp_path / "cluster", arena_mib=32) as running:
        yield running


def wait_for_door(door: Door) -> None:
    wait_for("opening of the space", lambda: door.ready, WAIT_S)


def usable(door: Door) -> bool:
    """Whether a block can be stored and is found then."""
    with door.register(np.zeros(BLOCK_BYTES, np.uint8)) as source:
        kept = door.put([b"probe"], source.blocks()).outcome().good.all()
    return bool(kept and door.exists([b"probe"]).outcome().good.all())


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"address": "no-port"}, InvalidArgument),
        ({"key": "file:/no/such/file"}, ConfigInvalid),
        ({"key": "env:HOLDFAST_NO_SUCH_VARIABLE"}, ConfigInvalid),
    ],
)
def test_what_can_never_work_is_said_at_the_start(
    nowhere: dict[str, Any], settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        link_of({**nowhere, **settings})


def test_opening_and_closing_do_not_wait_for_a_cluster_that_is_not_there(
    nowhere: dict[str, Any],
) -> None:
    began = time.monotonic()
    link = link_of(nowhere)
    door = link.open("door", FACTS, BLOCK_BYTES)
    assert not door.exists([b"any"]).outcome().good.any()
    link.close()
    link.close()
    assert time.monotonic() - began < SOON_S


@pytest.mark.process
def test_closing_does_not_wait_when_nothing_is_under_way(reach: dict[str, Any]) -> None:
    for _ in range(20):
        link = link_of(reach)
        door = link.open("door", FACTS, BLOCK_BYTES)
        wait_for_door(door)
        began = time.monotonic()
        link.close()
        assert time.monotonic() - began < SOON_S
        assert door.exists([b"any"]).outcome().reasons == {"closed": 1}


@pytest.mark.process
def test_a_link_that_is_closed_at_once_leaves_no_thread_waiting(reach: dict[str, Any]) -> None:
    for _ in range(50):
        link = link_of(reach)
        link.open("door", FACTS, BLOCK_BYTES)
        began = time.monotonic()
        link.close()
        assert time.monotonic() - began < SOON_S


@pytest.mark.process
def test_a_cluster_that_comes_later_is_found(
    own: holdfast.LocalCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = reach_of(own)
    own.stop()
    link = link_of(settings)
    door = link.open("door", FACTS, BLOCK_BYTES)
    wait_for("the outage", lambda: link.health.failing, WAIT_S)
    assert door.exists([b"any"]).outcome().reasons == {"not_open": 1}
    with holdfast.local(directory=tmp_path / "cluster", arena_mib=32):
        wait_for_door(door)
        assert usable(door)
        link.close()
    warnings = [line for line in caplog.messages if "does not answer" in line]
    assert len(warnings) == 1
    assert sum("answers again" in line for line in caplog.messages) == 1


@pytest.mark.process
def test_a_data_node_that_goes_and_comes_costs_misses_and_one_warning(
    own: holdfast.LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    link = link_of({**reach_of(own), "lookup_deadline_ms": 200})
    door = link.open("door", FACTS, BLOCK_BYTES)
    wait_for_door(door)
    assert usable(door)
    own.data_nodes[0].kill()

    def paused() -> bool:
        return "outage" in door.exists([b"probe"]).outcome().reasons

    wait_for("a pause", paused, WAIT_S)
    began = time.monotonic()
    for _ in range(1000):
        if not link.health.failing:
            break
        door.exists([b"probe"]).outcome()
    assert time.monotonic() - began < SOON_S
    own.data_nodes[0].start()
    wait_for("the node's return", lambda: usable(door), WAIT_S)
    assert sum("does not answer" in line for line in caplog.messages) == 1
    assert not link.health.failing
    link.close()


@pytest.mark.process
def test_a_wrong_key_is_said_once_and_costs_misses(
    engine_cluster: holdfast.LocalCluster,
    reach: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "engine.key"
    path.write_text(wrong_key(engine_cluster.key))
    link = link_of({**reach, "key": f"file:{path}"})
    door = link.open("door", FACTS, BLOCK_BYTES)
    wait_for("refusal", lambda: link.counters.total("spaces_refused/unauthenticated") > 1, WAIT_S)
    assert door.refused is not None
    assert door.exists([b"any"]).outcome().reasons == {"refused": 1}
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert not link.health.failing
    link.close()


def wrong_key(key: str) -> str:
    """A key of the same form that nobody has."""
    last = "A" if key[-1] != "A" else "B"
    return key[:-1] + last


@pytest.mark.process
def test_a_space_of_another_size_is_refused(
    reach: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    facts = Fingerprint({"test": "link", "size": "other"})
    link = link_of(reach)
    first = link.open("door", facts, BLOCK_BYTES)
    wait_for_door(first)
    second = link.open("door", facts, 2 * BLOCK_BYTES)
    wait_for("refusal", lambda: second.refused is not None, WAIT_S)
    assert "block_bytes" in str(second.refused)
    assert not second.ready
    assert usable(first)
    assert "cannot be used" in caplog.text
    link.close()


@pytest.mark.process
def test_a_key_that_was_replaced_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = holdfast.LocalLayout(arena_mib=32, ticket_life_s=5)
    path = tmp_path / "engine.key"
    with holdfast.LocalCluster(layout) as own:
        path.write_text(own.key)
        link = link_of({**reach_of(own), "key": f"file:{path}"})
        door = link.open("door", FACTS, BLOCK_BYTES)
        wait_for_door(door)
        assert usable(door)
        new = own.admin.rotate_key(own.tenant).api_key
        own.admin.revoke_old_keys(own.tenant)

        def refused() -> bool:
            return not usable(door) and door.refused is not None

        wait_for("refusal", refused, WAIT_S)
        assert "cannot be used" in caplog.text
        path.write_text(new)
        wait_for("opening with the new key", lambda: usable(door), WAIT_S)
        assert door.refused is None
        link.close()
