"""The engine's KV cache as memory that blocks are read into and written from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from holdfast._region import Region
from holdfast._segments import Segments
from holdfast.engines.door import Door
from holdfast.engines.started import Outcome, Started
from holdfast.engines.vllm.pieces import Pieces
from holdfast.engines.vllm.step import Blocks
from holdfast_kvstore.segments import Plane

_PIECE_BYTES = 64 << 20
"""Most that one call moves."""


class Moving(Protocol):
    """Blocks on their way between the engine's memory and the cluster."""

    def done(self) -> bool:
        """Whether it has ended; nothing touches the engine's memory from then on."""

    def outcome(self) -> Outcome:
        """What became of it; waits for its end, which its deadline bounds."""

    def cancel(self) -> None:
        """Ends it now; nothing touches the engine's memory once this returns."""


class KvMemory(Protocol):
    """Where the KV cache lies. One implementation for host memory, one for a GPU's."""

    def block_bytes(self, group: int) -> int:
        """Bytes of one block of `group`."""

    def load(self, door: Door, blocks: Blocks) -> Moving:
        """Starts to read `blocks`."""

    def save(self, door: Door, blocks: Blocks) -> Moving:
        """Starts to write `blocks`, whose memory stays as it is until it ends."""

    def close(self) -> None:
        """Lets the memory go; nothing is under way any more."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where one layer keeps its part of every block, bytes. Block i begins at base + i * stride."""

    storage: int
    """Which of the engine's allocations it lies in."""
    base: int
    stride: int
    run_bytes: int
    runs: int = 1
    run_stride: int = 0


def joined(pages: Sequence[Page]) -> list[Page]:
    """Neighbouring layers as one: where all layers of a block lie side by side, one is left."""
    whole: list[Page] = []
    for page in pages:
        last = whole[-1] if whole else None
        if (
            last is not None
            and last.runs == page.runs == 1
            and (last.storage, last.stride) == (page.storage, page.stride)
            and last.base + last.run_bytes == page.base
        ):
            nbytes = last.run_bytes + page.run_bytes
            whole[-1] = Page(last.storage, last.base, last.stride, nbytes)
        else:
            whole.append(page)
    return whole


class HostMemory:
    """KV in host memory: blocks travel between it and the wire without a copy in between."""

    def __init__(self, regions: Mapping[int, Region], pages: Mapping[int, Sequence[Page]]) -> None:
        """regions: by storage. pages: by KV group, its layers in order."""
        self._regions = dict(regions)
        self._planes = {
            group: [
                Plane(
                    self._regions[page.storage],
                    page.base,
                    page.stride,
                    page.run_bytes,
                    page.runs,
                    page.run_stride,
                )
                for page in joined(layers)
            ]
            for group, layers in pages.items()
        }

    def block_bytes(self, group: int) -> int:
        """Bytes of one block of `group`."""
        return sum(plane.bytes_per_block for plane in self._planes[group])

    def load(self, door: Door, blocks: Blocks) -> Moving:
        """Starts to read `blocks`."""
        return self._moving(blocks, lambda part: door.get(part.keys, self._segments(part)))

    def save(self, door: Door, blocks: Blocks) -> Moving:
        """Starts to write `blocks`."""
        return self._moving(
            blocks,
            lambda part: door.put(part.keys, self._segments(part), part.first_position),
        )

    def _segments(self, blocks: Blocks) -> Segments:
        return Segments.paged(self._planes[blocks.group], blocks.ids)

    def _moving(self, blocks: Blocks, start: Callable[[Blocks], Started]) -> Moving:
        most = max(1, _PIECE_BYTES // self.block_bytes(blocks.group))
        if len(blocks.ids) <= most:
            return start(blocks)
        parts = [blocks.part(first, first + most) for first in range(0, len(blocks.ids), most)]
        return Pieces([(len(part.ids), partial(start, part)) for part in parts])

    def close(self) -> None:
        """Closes the regions; nothing is under way any more."""
        for region in self._regions.values():
            region.close()
