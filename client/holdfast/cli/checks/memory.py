"""Memory: how much there is, what this process may lock, huge pages."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path

from holdfast._memory_room import meminfo
from holdfast.cli.checks.finding import Finding, fine, note, problem
from holdfast.cli.output import human_bytes
from holdfast.errors import HoldfastError

FREE_BYTES_MIN = 1 << 30
FILES_MIN = 4096
MEMLOCK_BYTES_MIN = 1 << 30
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_HUGE = Path("/sys/kernel/mm/transparent_hugepage")


def check_memory() -> list[Finding]:
    """Free memory, the limit of the control group, sealed memory."""
    free = meminfo().get("MemAvailable", 0)
    found = [
        fine("memory", f"{human_bytes(free)} free")
        if free >= FREE_BYTES_MIN
        else problem(
            "memory",
            f"{human_bytes(free)} free",
            "an arena is touched page by page at start: give data nodes a smaller arena_mib",
        )
    ]
    limit = _text(_GROUP_LIMIT)
    if limit and limit != "max":
        found.append(
            note(
                "memory limit",
                f"control group allows {human_bytes(int(limit))}",
                "arenas and the clients' shared memory count against it: keep their sum below",
            )
        )
    found.append(_sealed_memory())
    return found


def _sealed_memory() -> Finding:
    from holdfast._sealed_memory import SealedMemory

    try:
        SealedMemory(mmap.PAGESIZE).close()
    except (HoldfastError, AttributeError) as error:
        return problem(
            "shared memory",
            f"no sealed memory: {error}",
            "memfd_create is needed (Linux 3.17, not blocked by a sandbox); TCP works without",
        )
    return fine("shared memory", "sealed memory can be made")


def check_limits() -> list[Finding]:
    """Locked memory (RDMA registers with it) and open files."""
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    text = "unlimited" if locked == resource.RLIM_INFINITY else human_bytes(locked)
    enough = locked == resource.RLIM_INFINITY or locked >= MEMLOCK_BYTES_MIN
    return [
        fine("locked memory", text)
        if enough
        else note(
            "locked memory",
            f"{text} may be locked",
            "RDMA needs it: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in the unit file",
        ),
        fine("open files", str(files))
        if files >= FILES_MIN
        else note(
            "open files",
            f"{files} may be open",
            f"each lane is one: raise it to {FILES_MIN} (`ulimit -n`, LimitNOFILE=)",
        ),
    ]


def check_huge_pages() -> list[Finding]:
    """Transparent huge pages for arenas (anonymous) and for shared memory."""
    found = []
    for subject, name, wanted in (
        ("huge pages", "enabled", ("always", "madvise")),
        ("huge pages, shared", "shmem_enabled", ("always", "within_size", "advise")),
    ):
        chosen = _chosen(_text(_HUGE / name))
        if chosen in wanted:
            found.append(fine(subject, chosen))
        else:
            found.append(
                note(
                    subject,
                    chosen or "not in this kernel",
                    f"throughput is some percent higher with them: echo {wanted[-1]} > "
                    f"{_HUGE / name}",
                )
            )
    return found


def _chosen(text: str) -> str:
    """The word in brackets of "always [madvise] never"."""
    return text.partition("[")[2].partition("]")[0]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
