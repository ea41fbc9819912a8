"""What the native client is told of a space: whole copies, or shards and parity."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast._session import Session
from holdfast._space_binding import SpaceBinding
from holdfast_proto import meta_pb2 as pb


class Native:
    """Notes how a space is bound."""

    def __init__(self) -> None:
        self.bound: list[dict[str, Any]] = []

    def bind_space(self, **arguments: Any) -> None:
        self.bound.append(arguments)


def bound(redundancy: str) -> dict[str, Any]:
    session = Session.__new__(Session)
    native = Native()
    session.native = native  # type: ignore[assignment]
    session.tenant_number = 3
    info = pb.SpaceInfo(number=7, block_bytes=1 << 20, redundancy=redundancy)
    session._bind(SpaceBinding(info), b"ticket")
    (arguments,) = native.bound
    return arguments


@pytest.mark.parametrize(("redundancy", "copies"), [("single", 1), ("mirror:3", 3)])
def test_whole_copies_are_bound_by_their_number(redundancy: str, copies: int) -> None:
    assert bound(redundancy) == {
        "tenant": 3,
        "space": 7,
        "block_bytes": 1 << 20,
        "copies": copies,
        "ticket": b"ticket",
        "data": 1,
        "parity": 0,
    }


def test_shards_are_bound_with_the_size_of_whole_blocks() -> None:
    found = bound("ec:4+2")
    assert found["block_bytes"] == 1 << 20
    assert (found["copies"], found["data"], found["parity"]) == (6, 4, 2)


def test_a_binding_names_owners_and_what_is_needed_of_them() -> None:
    binding = SpaceBinding(pb.SpaceInfo(redundancy="ec:4+2"))
    assert (binding.owners, binding.data) == (6, 4)
    binding = SpaceBinding(pb.SpaceInfo(redundancy="mirror:2"))
    assert (binding.owners, binding.data) == (2, 1)
