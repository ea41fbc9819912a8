"""One request's question which of its blocks are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.engines.door import Door
from holdfast.engines.started import Started


class Lookup:
    """Asks every shard of every group at once; a block is stored if all its shards are."""

    def __init__(
        self,
        doors: Mapping[int, Sequence[Door]],
        keys: Mapping[int, Sequence[bytes]],
        now: float,
    ) -> None:
        """doors, keys: by group. now: monotonic seconds."""
        self.keys = keys
        self.asked_at = now
        self._started: dict[int, list[Started]] = {
            group: [door.exists(wanted) for door in doors[group]] if wanted else []
            for group, wanted in keys.items()
        }

    def done(self) -> bool:
        """Whether all have answered, or will not any more."""
        return all(started.done() for asked in self._started.values() for started in asked)

    def found(self, group: int) -> npt.NDArray[np.bool_]:
        """bool[blocks] of one group; of a lookup that is done."""
        stored = np.ones(len(self.keys[group]), dtype=np.bool_)
        for started in self._started[group]:
            stored &= started.outcome().good
        return stored

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        for asked in self._started.values():
            for started in asked:
                started.cancel()
