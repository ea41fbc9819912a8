"""A metadata member whose last log record was torn by a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(180)]


def newest_log_file(folder: Path) -> Path:
    """The file of the Raft log that was written last."""
    files = sorted(folder.rglob("*.raftlog"), key=lambda path: path.name)
    assert files, f"no Raft log below {folder}"
    return files[-1]


def written_end(path: Path) -> int:
    """Where the file's content ends: it is longer, filled with zeros."""
    return len(path.read_bytes().rstrip(b"\0"))


@pytest.mark.parametrize("torn_bytes", [1, 7, 40])
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
        log = newest_log_file(victim.config_path.parent)
        with log.open("r+b") as file:
            end = written_end(log)
            file.seek(end - torn_bytes)
            file.write(bytes(torn_bytes))
        victim.start()
        three_of_each.wait_for_members(30)
        # The others hold what this one lost: it catches up, also as the leader.
        three_of_each.admin.transfer_leader(1)
        three_of_each.wait_for_leader(1, 30)
        assert {name: cluster.space(name).number for name in numbers} == numbers
        assert cluster.space("after", block_bytes=512, create=True).number > max(numbers.values())
