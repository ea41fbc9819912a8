"""From whom an owner takes over chunks: from the one that left the row, never from one that stays.

Owners of a block that is cut hold different chunks of it. Each that entered a row therefore has one
predecessor of its own: who stood at its place before, or, where that one only went to another
place, who stood there, and so on until somebody is found who left. Two that entered one row never
meet the same one. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_kvstore.cluster_map import HOLE


def predecessor(node: int, owners: Sequence[int], previous: Sequence[int]) -> int:
    """Who left the row for `node`; HOLE for nobody. All are one space's first places of a group.

    A node that was among `previous` has its chunks already.
    """
    if node in previous:
        return HOLE
    place = owners.index(node)
    for _ in owners:
        found = previous[place]
        if found == HOLE or found not in owners:
            return found
        place = owners.index(found)
    return HOLE
