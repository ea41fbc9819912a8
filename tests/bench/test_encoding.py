"""What the native measures of stripes print is read as it is meant."""

from __future__ import annotations

from bench.encoding import parse


def test_measures_are_read_by_name() -> None:
    text = "kernel fused-gfni-avx512\ncached_encode_4+2 47.5 48.0\nmemory_floor_4+2 13.2 13.3\n"
    assert parse(text) == (
        "fused-gfni-avx512",
        {"cached_encode_4+2": [47.5, 48.0], "memory_floor_4+2": [13.2, 13.3]},
    )
