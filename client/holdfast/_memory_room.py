"""How much memory a program can still have: what the machine has free and control groups allow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def room_for_memory() -> int | None:
    """Bytes; None where the kernel says nothing of it. Swap does not count."""
    free_bytes = meminfo().get("MemAvailable")
    known = [] if free_bytes is None else [free_bytes]
    return min([*known, *group_rooms(_GROUPS, _OWN_GROUPS)], default=None)


def meminfo() -> dict[str, int]:
    """/proc/meminfo: bytes by name; empty where there is none."""
    found = {}
    with contextlib.suppress(OSError):
        for line in _MEMINFO.read_text().splitlines():
            name, _, rest = line.partition(":")
            count, *unit = rest.split()
            found[name] = int(count) * (1024 if unit == ["kB"] else 1)
    return found


def group_rooms(mounted: Path, own: Path) -> Iterator[int]:
    """What each control group that this process is in lets it have yet, both versions of them.

    Cached files count as free: the kernel drops them first.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:
            top, limit, usage, prefix = mounted, "memory.max", "memory.current", ""
        elif controllers == "memory":
            top, limit, usage = mounted / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            prefix = "total_"
        else:
            continue
        # In a container the name may be the host's: then only the top exists here.
        group = top / name.strip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
                limit_bytes = int((folder / limit).read_text())
                cached = (f"{prefix}active_file", f"{prefix}inactive_file")
                pairs = map(str.split, (folder / "memory.stat").read_text().splitlines())
                cached_bytes = sum(int(count) for key, count in pairs if key in cached)
                yield limit_bytes - int((folder / usage).read_text()) + cached_bytes
            if folder == top:
                break
