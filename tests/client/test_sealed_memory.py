"""How much memory may be allocated: the kernel kills who touches more than there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import _memory_room
from holdfast._sealed_memory import SealedMemory
from holdfast.errors import Unavailable

MIB = 1 << 20
# Should this ever fail, then the kernel ends this process and no other.
PROGRAM = """
from pathlib import Path
Path("/proc/self/oom_score_adj").write_text("1000")
from holdfast._region import Region
from holdfast._memory_room import room_for_memory
from holdfast.errors import Unavailable
assert room_for_memory() > 0
try:
    Region.allocated(2 * room_for_memory(), 4096, close_s=5)
except Unavailable as error:
    print(error)
"""


@pytest.mark.process
def test_more_than_the_machine_has_free_is_refused_and_the_process_lives() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "available: allocate less" in done.stdout


class Groups:
    """Control groups as the kernel shows them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._mounted = folder / "cgroup"
        self._own = folder / "own"
        monkeypatch.setattr(_memory_room, "_GROUPS", self._mounted)
        monkeypatch.setattr(_memory_room, "_OWN_GROUPS", self._own)

    def enter(self, line: str) -> None:
        """This process is in the group of `line`."""
        self._own.write_text(f"1:name=systemd:/init\n{line}\n")

    def make(self, name: str, **files: str) -> None:
        """A group; `__` stands for the dot in the names of files."""
        folder = self._mounted / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(text + "\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    return Groups(tmp_path, monkeypatch)


def second(limit: str, usage: int, cached: int = 0) -> dict[str, str]:
    stat = f"anon 5\nactive_file 0\ninactive_file {cached}"
    return {"memory__max": limit, "memory__current": str(usage), "memory__stat": stat}


def check_room(mib: int) -> None:
    SealedMemory(mib * MIB).close()
    with pytest.raises(Unavailable, match=f" {mib * MIB} are available: allocate less"):
        SealedMemory(mib * MIB + 1)


def test_the_limit_of_the_control_group_counts_without_cached_files(groups: Groups) -> None:
    groups.enter("0::/jobs/one")
    groups.make("jobs/one", **second(str(8 * MIB), 7 * MIB, cached=3 * MIB))
    check_room(4)


def test_the_limit_of_a_group_above_counts_as_well(groups: Groups) -> None:
    groups.enter("0::/jobs/one")
    groups.make("jobs/one", **second("max", 2 * MIB))
    groups.make("jobs", **second(str(8 * MIB), 5 * MIB))
    check_room(3)


def test_a_group_that_is_named_as_the_host_sees_it(groups: Groups) -> None:
    groups.enter("0::/host/only")
    groups.make("", **second(str(8 * MIB), 6 * MIB))
    check_room(2)


def test_control_groups_of_the_first_version(groups: Groups) -> None:
    groups.enter("4:memory:/one")
    groups.make(
        "memory/one",
        memory__limit_in_bytes=str(8 * MIB),
        memory__usage_in_bytes=str(7 * MIB),
        memory__stat=f"inactive_file 1\ntotal_active_file {MIB}\ntotal_inactive_file {MIB}",
    )
    check_room(3)


def test_a_group_that_is_full_and_one_that_nobody_limits(groups: Groups) -> None:
    groups.enter("0::/")
    groups.make("", **second(str(8 * MIB), 9 * MIB))
    with pytest.raises(Unavailable, match=" 0 are available"):
        SealedMemory(1)
    groups.make("", **second("max", 9 * MIB))
    SealedMemory(MIB).close()
