"""Who stood at each place of a group before, from cluster level `SHARDS` on.

Chunks of blocks that are cut differ from owner to owner: who enters a row takes over from the one
that left, and from nobody else. `previous` therefore keeps the old row in its order, so that every
node finds for itself who that is (`holdfast_datanode.succession`).
"""

from __future__ import annotations

from collections.abc import Collection

from holdfast_kvstore.cluster_map import HOLE, ClusterMap
from holdfast_kvstore.policies import LIMITS


def gained(before: ClusterMap, old: list[int], new: list[int]) -> list[int]:
    """Ids of the owners of `new` that have to take something over.

    An owner that fills a hole behind the places of whole copies has nobody to take over from,
    unless somebody left the row.
    """
    nobody_left = set(old) - {HOLE} <= set(new)
    found = []
    for place, slot in enumerate(new):
        if slot == HOLE or (slot in old and old.index(slot) <= place):
            continue
        fills_a_hole = slot not in old and place >= LIMITS.copies_max and old[place] == HOLE
        if not (fills_a_hole and nobody_left):
            found.append(before.nodes[slot].id)
    return found


def previous_row(
    before: ClusterMap, group: int, new: list[int], waiting: Collection[int]
) -> list[int]:
    """The next `previous` of a group whose owners become `new`: whose blocks lie at each place.

    `waiting`: ids of owners that had not taken over yet; in their places the ones before them
    count. Others that left the group earlier take the places of owners that stay where they are.
    """
    old = before.owners[group].tolist()
    earlier = before.previous[group].tolist()

    def holds(slot: int) -> bool:
        return slot != HOLE and before.nodes[slot].may_hold

    row = [
        source if source != HOLE and slot != HOLE and before.nodes[slot].id in waiting else slot
        for slot, source in zip(old, earlier, strict=True)
    ]
    row = [slot if holds(slot) else HOLE for slot in row]
    others = [s for s in dict.fromkeys((*old, *earlier)) if holds(s) and s not in {*row, *new}]
    spare = [place for place, slot in enumerate(row) if slot in (HOLE, new[place])]
    spare.sort(key=lambda place: (row[place] != HOLE, -place))
    for place, slot in zip(spare, others, strict=False):
        row[place] = slot
    return row
