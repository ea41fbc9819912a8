"""The lines of `holdfast status` that say which failures the cluster can take now."""

from __future__ import annotations

import pytest

from holdfast._survival import Survival
from holdfast.cli.checks import Level, check_redundancy
from holdfast.cli.survivals import survival_lines
from holdfast_proto import meta_pb2 as pb


def status(*survivals: pb.Survival, down: int = 0, racks: int = 1) -> pb.StatusReply:
    nodes = [
        pb.NodeInfo(
            id=number,
            rack=f"rack-{number % racks}",
            state=pb.NODE_STATE_DOWN if number < down else pb.NODE_STATE_UP,
        )
        for number in range(6)
    ]
    return pb.StatusReply(group_count=400, nodes=nodes, survivals=survivals)


def shards(**fields: int) -> pb.Survival:
    whole = {"owners": 6, "placed": 6, "failures": 2, "hosts": 2, "hosts_now": 2}
    return pb.Survival(redundancy="ec:4+2", **(whole | fields))


@pytest.mark.parametrize(
    ("survival", "down", "racks", "line", "level"),
    [
        (shards(), 0, 1, "ec:4+2: 2 host failures", Level.FINE),
        (shards(racks=1), 0, 3, "ec:4+2: 2 host failures, 1 rack failure", Level.FINE),
        (shards(), 0, 2, "ec:4+2: 2 host failures, no rack failures", Level.FINE),
        (
            shards(hosts_now=1),
            1,
            1,
            "ec:4+2: 2 host failures (1 host down now: 1 left)",
            Level.NOTE,
        ),
        (
            shards(hosts_now=0, groups_lost=7),
            3,
            1,
            "ec:4+2: 2 host failures (3 hosts down now: blocks of 7 of 400 groups cannot be read)",
            Level.PROBLEM,
        ),
        (
            shards(placed=5, hosts=1, hosts_now=1),
            0,
            1,
            "ec:4+2: 1 host failure instead of 2, 5 of 6 shards placed",
            Level.NOTE,
        ),
        (
            pb.Survival(redundancy="single", owners=1, placed=1),
            0,
            1,
            "single: no host failures",
            Level.FINE,
        ),
        (
            pb.Survival(redundancy="mirror:2", owners=2, placed=2, failures=1),
            0,
            1,
            "mirror:2: no host failures instead of 1",
            Level.NOTE,
        ),
    ],
)
def test_a_line_says_what_may_fail_and_what_is_left_of_it_now(
    survival: pb.Survival, down: int, racks: int, line: str, level: Level
) -> None:
    found = status(survival, down=down, racks=racks)
    assert survival_lines(found) == [line]

    class Admin:
        def status(self) -> pb.StatusReply:
            return found

    (finding,) = check_redundancy(Admin())  # type: ignore[arg-type]
    assert (finding.level, finding.found) == (level, line.partition(": ")[2])
    assert bool(finding.advice) == (level is not Level.FINE)


@pytest.mark.parametrize(
    ("survival", "line"),
    [
        (shards(), "placed 6 of 6 shards; survives 2 failures"),
        (
            shards(placed=5, hosts=1),
            "placed 5 of 6 shards; survives 1 failure instead of 2",
        ),
        (shards(hosts=0), "placed 6 of 6 shards; survives 0 failures instead of 2"),
        (
            pb.Survival(redundancy="mirror:2", owners=2, placed=1, failures=1),
            "placed 1 of 2 copies; survives 0 failures instead of 1",
        ),
    ],
)
def test_a_new_space_says_what_its_blocks_survive(survival: pb.Survival, line: str) -> None:
    assert str(Survival.read(survival)) == line
    assert Survival.read(survival).is_whole == ("instead" not in line)
