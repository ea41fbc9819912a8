"""Blocks of groups that left this node and are not dropped yet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from holdfast_datanode.duties import Duties
from holdfast_datanode.native_node import Serving

_WRAPS = 2
"""The release worker moves the same cursor, so the first end may be of a walk begun elsewhere."""


class LeftBehind:
    """Drops what stayed behind of a group before this node has to do with that group again.

    Nobody tells this node of deletes in groups that it neither owns nor owned before the moves
    under way. What it keeps of them for callers with older maps would come back as if it had
    never been deleted, or in place of what was written elsewhere since.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._kept: npt.NDArray[np.bool_] | None = None
        self._left: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    def drop_returning(self, duties: Duties) -> None:
        """To be called before the route of `duties` is installed."""
        if duties.kept is None:
            return
        bits = np.frombuffer(duties.kept, dtype=np.uint8)
        kept = np.unpackbits(bits, count=duties.group_count, bitorder="little").astype(np.bool_)
        if self._kept is None:
            self._kept, self._left = kept, np.zeros_like(kept)
            return
        if len(self._kept) != len(kept):
            # Groups were split, each into neighbours.
            parts = len(kept) // len(self._kept)
            self._kept, self._left = (np.repeat(each, parts) for each in (self._kept, self._left))
        self._left |= self._kept & ~kept
        returning = self._left & kept
        if returning.any():
            self._drop(returning)
            self._left &= ~returning
        self._kept = kept

    def _drop(self, groups: npt.NDArray[np.bool_]) -> None:
        others = np.packbits(~groups, bitorder="little").tobytes()
        for _ in range(_WRAPS):
            while not self._serving.retain_groups(len(groups), others):
                pass
