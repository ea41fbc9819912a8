"""Parts are equal, small enough, and no more than are needed."""

from __future__ import annotations

import pytest

from holdfast.engines.parts import PARTS_MAX, equal_parts, part_suffixes


@pytest.mark.parametrize(
    ("nbytes", "parts"),
    [(1, 1), (100, 1), (101, 101), (102, 2), (200, 2), (201, 3), (250, 5), (1031, None), (0, None)],
)
def test_parts_are_as_few_as_can_be(nbytes: int, parts: int | None) -> None:
    assert equal_parts(nbytes, 100) == parts


def test_there_are_never_more_than_can_be_named() -> None:
    assert equal_parts(PARTS_MAX, 1) == PARTS_MAX
    assert equal_parts(PARTS_MAX + 1, 1) is None
    assert part_suffixes(1) == [b""]
    assert len(set(part_suffixes(PARTS_MAX))) == PARTS_MAX
