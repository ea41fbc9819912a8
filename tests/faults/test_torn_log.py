"""A metadata member whose last log record was torn by a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(180)]


def newest_log_file(folder: Path) -> Path:
    """The file of the Raft log that was written last."""
    files = sorted(folder.rglob("*.raftlog"), key=lambda path: path.name)
    assert files, f"no Raft log below {folder}"
    return files[-1]


def written_end(path: Path) -> int:
    """Where the file's content ends: it is longer, filled with zeros."""
    return len(path.read_bytes().rstrip(b"\0"))


def tear(path: Path, torn_bytes: int) -> None:
    """Puts the beginning of one more record behind the last: its write was under way when power
    went, so it was never synced and never acknowledged."""
    end = written_end(path)
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(end)
        file.write(content[end // 2 : end // 2 + torn_bytes])


def leads(running: holdfast.LocalCluster, member: int) -> bool:
    """Asks for the leadership until the member is fit for it."""
    running.members[member - 1].check_running()
    try:
        if running.admin.status().leader_id == member:
            return True
        running.admin.transfer_leader(member)
    except holdfast.HoldfastError as error:
        print(error)
    return False


@pytest.mark.parametrize("torn_bytes", [1, 40, 4096])
def test_a_torn_last_record_costs_the_cluster_nothing(
    three_of_each: holdfast.LocalCluster, torn_bytes: int
) -> None:
    victim = three_of_each.members[0]
    with three_of_each.connect() as cluster:
        numbers = {
            name: cluster.space(name, block_bytes=512, create=True).number
            for name in (f"space-{index}" for index in range(20))
        }
        victim.kill()
        tear(newest_log_file(victim.config_path.parent), torn_bytes)
        victim.start()
        # It catches up with the others, and can lead.
        wait_for("leadership of the torn member", lambda: leads(three_of_each, 1), 60)
        assert {name: cluster.space(name).number for name in numbers} == numbers
        assert cluster.space("after", block_bytes=512, create=True).number > max(numbers.values())
