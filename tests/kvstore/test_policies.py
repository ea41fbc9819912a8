"""Limits that both sides enforce are the same numbers in Python and in native code."""

import re
from pathlib import Path

import pytest

from holdfast_kvstore import LIMITS, TIMES

SOURCE = Path(__file__).parents[2] / "native" / "crates" / "wire" / "src" / "limits.rs"


def native_limit(name: str) -> int:
    found = re.search(rf"pub const {name}: \w+ = ([0-9_]+)(?: << (\d+))?;", SOURCE.read_text())
    assert found is not None, name
    return int(found[1].replace("_", "")) << int(found[2] or 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEYS_PER_REQUEST_MAX", LIMITS.keys_per_request_max),
        ("PAYLOAD_BYTES_MAX", LIMITS.payload_bytes_max),
        ("BODY_BYTES_MAX", LIMITS.body_bytes_max),
        ("REQUESTS_IN_FLIGHT_MAX", LIMITS.requests_in_flight_max),
        ("DEADLINE_MS_MAX", LIMITS.deadline_ms_max),
    ],
)
def test_a_limit_of_the_protocol_is_the_same_on_both_sides(name: str, value: int) -> None:
    assert value == native_limit(name)


def test_the_largest_block_passes_through_the_protocol() -> None:
    assert LIMITS.block_bytes_max <= native_limit("BLOCK_BYTES_MAX")


def test_times_fit_together() -> None:
    assert TIMES.heartbeat_interval_ms * 3 < TIMES.down_after_ms < TIMES.out_after_ms
    assert max(TIMES.get_deadline_ms, TIMES.put_deadline_ms) <= LIMITS.deadline_ms_max
