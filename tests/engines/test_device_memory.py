"""KV in a GPU's memory, in the place of which a test's own device stands; the cluster is real."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from holdfast.engines.counters import Counters
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.vllm.device_memory import DeviceMemory
from holdfast.engines.vllm.kv_memory import Moving, Page
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.step import Blocks
from holdfast.engines.vllm.tiles import tiled_bytes, tiles_of
from holdfast.errors import Unsupported
from holdfast.local_cluster.waiting import wait_for
from tests.engines.host_device import WAIT_S, HostDevice

LOG = logging.getLogger("tests.engines.device_memory")
BLOCKS = 128
LAYERS = 3
RUNS = 4
RUN_BYTES = 5_000
"""A tile of 2,048 bytes divides it not."""
STAGING_BYTES = 2 << 20
SLOTS = 17
"""Blocks that fit into half of that."""
SOON_S = 1.0
"""Longest time of what must not wait."""
_names = itertools.count()


class Rig:
    """KV of some layers, each block in several runs of each layer, and a door of its own."""

    def __init__(self, reach: dict[str, Any], **settings: Any) -> None:
        self.settings = VllmSettings.of({"staging_bytes": STAGING_BYTES, **reach, **settings})
        # Runs of different blocks lie between each other, as heads of a layer may.
        self.kv = np.zeros((LAYERS, RUNS, BLOCKS, RUN_BYTES), np.uint8)
        layer = RUNS * BLOCKS * RUN_BYTES
        pages = [
            Page(0, number * layer, RUN_BYTES, RUN_BYTES, RUNS, BLOCKS * RUN_BYTES)
            for number in range(LAYERS)
        ]
        tiles = tiles_of(pages, [self.kv.ctypes.data])
        self.block_bytes = tiled_bytes(tiles)
        self.device = HostDevice({0: tiles})
        self.counters = Counters()
        self.link = Link(self.settings, self.counters, LOG)
        facts = Fingerprint({"test": "device", "rig": next(_names), "time": time.time_ns()})
        self.door = self.link.open("device", facts, self.block_bytes)
        self.memory = DeviceMemory(
            self.device, {0: self.block_bytes}, BLOCKS, self.settings, self.counters, LOG
        )
        wait_for("the space", lambda: self.door.ready, WAIT_S)

    def close(self) -> None:
        self.device.end_work()
        self.device.let_copies_go()
        self.link.close()
        self.memory.close()

    def content(self, key: int) -> npt.NDArray[np.uint8]:
        """What a block under `key` holds, [layers, runs, bytes]."""
        shape = (LAYERS, RUNS, RUN_BYTES)
        return np.random.default_rng(key).integers(1, 256, shape, np.uint8)

    def fill(self, blocks: Blocks) -> None:
        for number, key in zip(blocks.ids, blocks.keys, strict=True):
            self.kv[:, :, number] = self.content(int(key))

    def stored(self, keys: range, ids: list[int] | None = None) -> Blocks:
        """Blocks that the cluster has; their pages are empty again."""
        blocks = self.blocks(keys, ids)
        self.fill(blocks)
        assert self.memory.save(self.door, blocks).outcome().good.all()
        self.kv[:] = 0
        return blocks

    def blocks(self, keys: range, ids: list[int] | None = None) -> Blocks:
        ids = ids or list(range(len(keys)))
        return Blocks(0, tuple(b"%d" % key for key in keys), tuple(ids), 0)

    def right(self, blocks: Blocks) -> list[bool]:
        """Of each block, whether its page holds what belongs there."""
        return [
            np.array_equal(self.kv[:, :, number], self.content(int(key)))
            for number, key in zip(blocks.ids, blocks.keys, strict=True)
        ]

    def empty(self, blocks: Blocks) -> bool:
        return not self.kv[:, :, list(blocks.ids)].any()


@pytest.fixture
def rig(reach: dict[str, Any]) -> Iterator[Rig]:
    made = Rig(reach)
    yield made
    made.close()


pytestmark = pytest.mark.process


def start_cancel(moving: Moving) -> Thread:
    thread = Thread(target=moving.cancel, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("count", [1, SLOTS // 4, SLOTS, 5 * SLOTS])
def test_what_is_saved_is_loaded_into_other_pages(rig: Rig, count: int) -> None:
    rig.stored(range(count))
    wanted = rig.blocks(range(count), list(range(BLOCKS - count, BLOCKS)))
    outcome = rig.memory.load(rig.door, wanted).outcome()
    assert outcome.prefix == count
    assert outcome.seconds > 0
    assert all(rig.right(wanted))
    assert np.count_nonzero(rig.kv.any(axis=(0, 1, 3))) == count
    assert rig.counters.total("load_blocks_good") == count


def test_a_large_move_goes_on_while_nobody_looks(rig: Rig) -> None:
    blocks = rig.stored(range(5 * SLOTS))
    loading = rig.memory.load(rig.door, blocks)
    wait_for("all copies", lambda: all(rig.right(blocks)), WAIT_S)
    wait_for("the end", loading.done, WAIT_S)


def test_only_what_was_found_is_written(rig: Rig) -> None:
    rig.stored(range(2))
    wanted = rig.blocks(range(4))
    rig.kv[:, :, 2:4] = 99
    outcome = rig.memory.load(rig.door, wanted).outcome()
    assert outcome.good.tolist() == [True, True, False, False]
    assert dict(outcome.reasons) == {"absent": 2}
    assert rig.right(wanted) == [True, True, False, False]
    assert (rig.kv[:, :, 2:4] == 99).all()


def test_pieces_behind_a_gap_are_not_tried(rig: Rig) -> None:
    wanted = rig.blocks(range(5 * SLOTS))
    outcome = rig.memory.load(rig.door, wanted).outcome()
    assert not outcome.good.any()
    assert outcome.reasons["absent"] <= 2 * SLOTS
    assert sum(outcome.reasons.values()) == 5 * SLOTS
    assert rig.counters.total("load_bad/not_tried") == outcome.reasons["not_tried"]
    assert rig.counters.total("load_blocks_bad") == 5 * SLOTS


def test_a_save_takes_what_the_engine_computes_before_its_mark(rig: Rig) -> None:
    blocks = rig.blocks(range(2 * SLOTS))
    rig.device.work()
    saving = rig.memory.save(rig.door, blocks)
    assert not saving.done()
    rig.fill(blocks)
    rig.device.end_work()
    assert saving.outcome().good.all()
    rig.kv[:] = 0
    assert rig.memory.load(rig.door, blocks).outcome().good.all()
    assert all(rig.right(blocks))


def test_a_load_waits_for_work_that_may_use_its_pages(rig: Rig) -> None:
    blocks = rig.stored(range(3))
    rig.device.work()
    loading = rig.memory.load(rig.door, blocks)
    wait_for("the read", lambda: rig.counters.total("load_blocks_good") == 3, WAIT_S)
    assert not loading.done()
    assert rig.empty(blocks)
    rig.device.end_work()
    assert loading.outcome().good.all()
    assert all(rig.right(blocks))


def test_a_load_does_not_wait_for_saves(rig: Rig) -> None:
    there = rig.stored(range(2))
    rig.device.work()
    saving = rig.memory.save(rig.door, rig.blocks(range(1000, 1000 + 3 * SLOTS)))
    rig.device.rest()
    assert rig.memory.load(rig.door, there).outcome().good.all()
    assert not saving.done()
    rig.device.end_work()
    assert saving.outcome().good.all()


def test_a_small_load_takes_its_turn_beside_a_large_one(rig: Rig) -> None:
    large = rig.stored(range(6 * SLOTS))
    small = rig.blocks(range(2), [126, 127])
    rig.device.hold_copies()
    first = rig.memory.load(rig.door, large)
    second = rig.memory.load(rig.door, small)
    before = len(rig.device.copied)
    rig.device.let_copies_go()
    assert second.outcome().good.all()
    assert first.outcome().good.all()
    turns = rig.device.copied[before:]
    assert turns.index([126, 127]) < len(turns) // 2
    assert all(rig.right(small))


def test_the_engine_never_waits(rig: Rig) -> None:
    rig.device.hold_copies()
    began = time.monotonic()
    moving = [
        move(rig.door, rig.blocks(range(100 * turn, 100 * turn + 2 * SLOTS)))
        for turn in range(10)
        for move in (rig.memory.load, rig.memory.save)
    ]
    for each in moving:
        each.done()
    assert time.monotonic() - began < SOON_S
    rig.device.let_copies_go()
    for each in moving:
        each.outcome()


def test_a_load_that_is_cancelled_before_its_copy_touches_nothing(rig: Rig) -> None:
    first = rig.stored(range(SLOTS))
    rig.device.hold_copies()
    others = rig.memory.load(rig.door, first)
    rig.device.wait_until_halfway()
    late = rig.blocks(range(SLOTS), list(range(64, 64 + SLOTS)))
    loading = rig.memory.load(rig.door, late)
    began = time.monotonic()
    loading.cancel()
    assert loading.done()
    assert time.monotonic() - began < SOON_S
    assert dict(loading.outcome().reasons) == {"cancelled": SLOTS}
    rig.device.let_copies_go()
    assert others.outcome().good.all()
    assert rig.memory.load(rig.door, first).outcome().good.all()
    assert rig.empty(late)


@pytest.mark.parametrize("direction", ["load", "save"])
def test_cancelling_waits_for_a_copy_under_way(rig: Rig, direction: str) -> None:
    blocks = rig.stored(range(4))
    rig.device.hold_copies()
    moving = getattr(rig.memory, direction)(rig.door, blocks)
    rig.device.wait_until_halfway()
    thread = start_cancel(moving)
    wait_for("the end", moving.done, WAIT_S)
    thread.join(0.05)
    assert thread.is_alive()
    rig.device.let_copies_go()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert dict(moving.outcome().reasons) == {"cancelled": 4}


def test_what_ended_stays_as_it_was_when_it_is_cancelled(rig: Rig) -> None:
    blocks = rig.stored(range(2))
    loading = rig.memory.load(rig.door, blocks)
    assert loading.outcome().good.all()
    loading.cancel()
    assert loading.outcome().good.all()
    assert dict(loading.outcome().reasons) == {}


def test_a_broken_device_costs_misses_and_one_line(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    blocks = rig.stored(range(2 * SLOTS))
    rig.device.broken = True
    for move in (rig.memory.load, rig.memory.save, rig.memory.load):
        outcome = move(rig.door, blocks).outcome()
        assert not outcome.good.any()
        assert outcome.reasons["device_error"] >= 4
    assert rig.empty(blocks)
    assert sum("the device is broken" in line for line in caplog.messages) == 2
    rig.device.broken = False
    assert rig.memory.load(rig.door, blocks).outcome().good.all()
    assert all(rig.right(blocks))


@pytest.mark.parametrize("looks", ["polls", "waits"])
def test_what_gets_no_slots_is_given_up_at_its_deadline(reach: dict[str, Any], looks: str) -> None:
    rig = Rig(reach, load_deadline_ms=300)
    rig.stored(range(SLOTS))
    rig.device.hold_copies()
    ahead = rig.memory.load(rig.door, rig.blocks(range(SLOTS)))
    behind = rig.memory.load(rig.door, rig.blocks(range(SLOTS)))
    if looks == "polls":
        wait_for("the deadline", behind.done, WAIT_S / 2)
    assert dict(behind.outcome().reasons) == {"deadline_exceeded": SLOTS}
    assert not ahead.done()
    rig.device.let_copies_go()
    assert ahead.outcome().good[:4].all()
    rig.close()


def test_a_cluster_that_is_gone_costs_misses(reach: dict[str, Any]) -> None:
    rig = Rig(reach)
    blocks = rig.stored(range(4))
    rig.link.close()
    for move in (rig.memory.load, rig.memory.save):
        assert not move(rig.door, blocks).outcome().good.any()
    assert rig.empty(blocks)
    rig.close()


def test_too_little_staging_is_refused_with_the_setting() -> None:
    device = HostDevice({})
    settings = VllmSettings.of({"staging_bytes": STAGING_BYTES})
    with pytest.raises(Unsupported, match="set staging_bytes to 16777216 or more"):
        DeviceMemory(device, {0: STAGING_BYTES}, 8, settings, Counters(), LOG)


@pytest.mark.parametrize("round_number", range(3))
def test_random_moves_and_cancels_never_leave_a_wrong_byte(
    rig: Rig, round_number: int, request: pytest.FixtureRequest
) -> None:
    """Pages of each move are its own; of one that was cancelled nothing changes any more."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rig.stored(range(64))
    cancelled: list[tuple[Blocks, npt.NDArray[np.uint8]]] = []
    for _ in range(12):
        ids = list(range(BLOCKS))
        chance.shuffle(ids)
        moves: list[tuple[Blocks, Moving]] = []
        if chance.random() < 0.5:
            rig.device.hold_copies()
        while len(ids) > 32:
            count = chance.randint(1, 32)
            first = chance.randrange(0, 80 - count)
            mine, ids = ids[:count], ids[count:]
            blocks = rig.blocks(range(first, first + count), mine)
            if chance.random() < 0.3:
                rig.fill(blocks)
                moves.append((blocks, rig.memory.save(rig.door, blocks)))
            else:
                rig.kv[:, :, mine] = 0
                moves.append((blocks, rig.memory.load(rig.door, blocks)))
        unwanted = [pair for pair in moves if chance.random() < 0.4]
        threads = [start_cancel(moving) for _, moving in unwanted]
        rig.device.let_copies_go()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        cancelled = [(blocks, rig.kv[:, :, list(blocks.ids)].copy()) for blocks, _ in unwanted]
        for blocks, moving in moves:
            outcome = moving.outcome()
            for good, right in zip(outcome.good, rig.right(blocks), strict=True):
                assert right or not good
        for blocks, then in cancelled:
            assert np.array_equal(rig.kv[:, :, list(blocks.ids)], then)
    # Every slot came back: a load that needs all of them several times gets them.
    whole = rig.blocks(range(64))
    rig.kv[:] = 0
    assert rig.memory.load(rig.door, whole).outcome().good.all()
    assert all(rig.right(whole))
