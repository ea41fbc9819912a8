"""How fast one raw TCP stream over loopback is just now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from bench.batches import best_sizes
from bench.bed import MIB
from bench.raw_peer import raw_peer
from holdfast_native import RawProbe

_SET_BYTES = 512 * MIB
_SAMPLE_BYTES = 512 * MIB


class Wire:
    """A blocking sender and receiver, with the sizes that were fastest at the start."""

    def __init__(self, address: str) -> None:
        """address: of the peer process."""
        self._probe = RawProbe(address)
        self._memory = np.empty(64 * MIB, np.uint8)
        self._sizes = best_sizes(
            lambda sizes: self._probe.receive(
                self._memory.data, _SAMPLE_BYTES, sizes.read, sizes.write
            )
        )

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Wire]:
        """With a peer of its own, which ends on leaving."""
        with raw_peer(_SET_BYTES) as peer:
            yield cls(peer.address)

    def bytes_per_s(self) -> float:
        """One measurement of 512 MiB."""
        sizes = self._sizes
        seconds = self._probe.receive(self._memory.data, _SAMPLE_BYTES, sizes.read, sizes.write)
        return _SAMPLE_BYTES / seconds
