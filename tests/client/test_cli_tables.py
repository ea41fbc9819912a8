"""Tables for people: nothing is cut, however narrow the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from holdfast.cli.output import rich_table
from holdfast.cli.status import MEMBER_COLUMNS, NODE_COLUMNS, member_rows, node_rows
from holdfast_proto import meta_pb2 as pb

ADDRESS = "storage-node-17.example.net:7400"
NODES = [
    pb.NodeInfo(
        id=number,
        state=pb.NODE_STATE_DRAINING,
        tcp_address=ADDRESS,
        host="storage-node-17",
        groups=133,
        groups_to_move=7,
        load=pb.NodeLoad(used_bytes=3 << 30, capacity_bytes=64 << 30, blocks=123456, hits=9),
    )
    for number in (1, 12)
]


def shown(columns: tuple[str, ...], rows: list[tuple[object, ...]], width: int) -> list[str]:
    """Lines on a terminal of that width."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=True, color_system=None, soft_wrap=True
    )
    console.print(rich_table(columns, rows))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_a_narrow_table_of_nodes_cuts_nothing(width: int) -> None:
    lines = shown(NODE_COLUMNS, node_rows(NODES), width)
    text = "\n".join(lines)
    assert text.count(ADDRESS) == text.count("draining") == text.count("64.0 GiB") == 2
    assert text.count("123456") == 2
    assert "\u2026" not in text
    assert max(map(len, lines)) <= max(width, len(ADDRESS) + 20)


def test_a_wide_terminal_shows_a_line_a_node() -> None:
    assert len(shown(NODE_COLUMNS, node_rows(NODES), 200)) == 6


def test_80_columns_show_id_state_and_address_in_the_first_line_of_a_node() -> None:
    lines = shown(NODE_COLUMNS, node_rows(NODES), 80)
    (first,) = [line for line in lines if line.startswith("12 ")]
    assert first.split()[:3] == ["12", "draining", ADDRESS]


def test_a_cell_longer_than_the_terminal_stands_whole_on_a_line_of_its_own() -> None:
    command = "run `echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled`"
    lines = shown(("subject", "", "found", "what to do"), [("a", "note", "off", command)], 60)
    assert f"    what to do: {command}" in lines


def test_members_fit_in_80_columns() -> None:
    member = pb.MemberStatus(id=1, address="10.100.100.100:7300", match_index=1 << 40)
    assert all(len(line) <= 80 for line in shown(MEMBER_COLUMNS, member_rows([member]), 80))
