"""The engine's KV cache in a GPU's memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.vllm.device import Device
from holdfast.engines.vllm.device_move import DeviceMove
from holdfast.engines.vllm.lane import SLOTS_MAX, Lane, LoadLane, SaveLane
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.staging import Staging
from holdfast.engines.vllm.step import Blocks
from holdfast.errors import Unsupported

L = TypeVar("L", bound=Lane)


class DeviceMemory:
    """KV on a GPU: blocks travel through pinned host memory of a fixed size, half of it each way.

    Loads and saves have a stream and slots each, so that neither waits for the other. Copies out
    of and into pages stand behind what the engine had given the GPU to do when it asked: a page
    may be in use until then. A load has ended when its blocks are in their pages, and the engine's
    next work may read them.
    """

    def __init__(
        self,
        device: Device,
        block_bytes: Mapping[int, int],
        blocks: int,
        settings: VllmSettings,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        """block_bytes: by KV group. blocks: that the engine counts.

        Raises Unsupported when the staging memory cannot be had.
        """
        self._device = device
        self._block_bytes = dict(block_bytes)
        self._blocks = blocks

        def lane(kind: type[L], deadline_ms: int) -> L:
            largest = max(self._block_bytes.values())
            staging = Staging(settings.staging_bytes // 2, largest, SLOTS_MAX)
            try:
                stream = device.stream(staging)
            except Unsupported:
                staging.close()
                raise
            return kind(stream, staging, deadline_ms / 1000, counters, log)

        self._loads = lane(LoadLane, settings.load_deadline_ms)
        try:
            self._saves = lane(SaveLane, settings.save_deadline_ms)
        except Unsupported:
            self._loads.close()
            raise

    def block_bytes(self, group: int) -> int:
        """Bytes of one block of `group`."""
        return self._block_bytes[group]

    def load(self, door: Door, blocks: Blocks) -> DeviceMove:
        """Starts to read `blocks`."""
        return self._started(self._loads, door, blocks)

    def save(self, door: Door, blocks: Blocks) -> DeviceMove:
        """Starts to write `blocks`, whose pages stay as they are until it ends."""
        return self._started(self._saves, door, blocks)

    def close(self) -> None:
        """Lets the memory go; nothing is under way any more."""
        self._loads.close()
        self._saves.close()

    def _started(self, lane: Lane, door: Door, blocks: Blocks) -> DeviceMove:
        # The GPU checks nothing: a number beyond the pages would be somebody else's memory.
        assert all(0 <= number < self._blocks for number in blocks.ids)
        return lane.start(door, blocks, self._device.mark())
