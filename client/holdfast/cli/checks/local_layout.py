"""What `holdfast up` looks at before it starts anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from holdfast._memory_room import room_for_memory
from holdfast.errors import InvalidArgument
from holdfast.local_cluster import LocalLayout

_TOLD = (("data_nodes", "--data-nodes"), ("arena_mib", "--arena-mib"))


def check_arenas(layout: LocalLayout) -> None:
    """Raises InvalidArgument if the arenas, which are touched at the start, do not fit now."""
    room_bytes = room_for_memory()
    if room_bytes is None:
        return
    available_mib = max(0, room_bytes) >> 20
    if layout.data_nodes * layout.arena_mib <= available_mib:
        return
    most = available_mib // layout.data_nodes // 16 * 16
    advice = f"use --arena-mib {most} or less" if most else "free some"
    if layout.data_nodes > 1:
        advice += ", or fewer data nodes"
    raise InvalidArgument(
        f"{layout.data_nodes} data node(s) of {layout.arena_mib} MiB need "
        f"{layout.data_nodes * layout.arena_mib} MiB of memory, {available_mib} MiB are "
        f"available: {advice}"
    )


def changes_of(layout: LocalLayout, folder: Path | None) -> Iterator[str]:
    """What differs from the cluster that was started in `folder` before; nothing for a new one.
    Whatever makes the folder unfit is left to the start, which says it."""
    if folder is None:
        return
    try:
        before = json.loads((folder / "cluster.json").read_text())["layout"]
        changed = [
            (option, before[name], getattr(layout, name))
            for name, option in _TOLD
            if before[name] != getattr(layout, name)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for option, old, new in changed:
        yield f"{folder} was made with {option} {old}: from now on it is {new}"
