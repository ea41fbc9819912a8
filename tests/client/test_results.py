"""Per-key results as small values."""

from __future__ import annotations

import numpy as np

import holdfast
from holdfast import Status


def raw(*statuses: Status) -> bytes:
    return bytes(statuses)


def test_a_get_counts_hits_and_its_prefix() -> None:
    result = holdfast.GetResult(raw(Status.HIT, Status.HIT, Status.MISS, Status.HIT), {"absent": 1})
    assert (result.hits, result.prefix, result.all_hit, len(result)) == (3, 2, False, 4)
    assert result.hit_mask.tolist() == [True, True, False, True]
    assert result.statuses.dtype == np.uint8
    assert result.status(2) is Status.MISS
    assert dict(result.reasons) == {"absent": 1}


def test_a_get_of_nothing_is_all_hit() -> None:
    result = holdfast.GetResult(b"", {})
    assert (result.hits, result.prefix, result.all_hit) == (0, 0, True)


def test_a_put_counts_what_is_kept() -> None:
    result = holdfast.PutResult(
        raw(Status.STORED, Status.PRESENT, Status.BUSY, Status.REFUSED, Status.UNKNOWN), {}
    )
    assert (result.stored, result.present, result.busy) == (1, 1, 1)
    assert (result.refused, result.unknown, result.kept, result.all_kept) == (1, 1, 2, False)


def test_an_exists_is_a_sequence_of_bool() -> None:
    result = holdfast.ExistsResult(raw(Status.HIT, Status.MISS, Status.TIMED_OUT), {})
    assert list(result) == [True, False, False]
    assert result[0] is True
    assert np.asarray(result).tolist() == [True, False, False]
    assert (result.count, result.prefix) == (1, 1)


def test_statuses_equal_the_native_ones() -> None:
    import holdfast_native

    native = {
        name: value
        for name, value in vars(holdfast_native.KeyStatus).items()
        if isinstance(value, int)
    }
    assert native == {status.name: status.value for status in Status}


def test_a_result_shows_its_counts_and_reasons() -> None:
    assert repr(holdfast.PutResult(raw(*[Status.STORED] * 16), {})) == (
        "PutResult(16 keys: 16 stored)"
    )
    found = holdfast.GetResult(raw(Status.HIT, Status.MISS, Status.HIT), {"absent": 1})
    assert repr(found) == str(found) == "GetResult(3 keys: 2 hit, 1 miss; absent 1)"
    late = raw(Status.TIMED_OUT, Status.UNREACHABLE)
    assert repr(holdfast.DeleteResult(late, {"timed_out": 1, "node_down": 1})) == (
        "DeleteResult(2 keys: 1 timed_out, 1 unreachable; timed_out 1, node_down 1)"
    )
    assert repr(holdfast.ExistsResult(b"", {})) == "ExistsResult(0 keys)"
    assert repr(holdfast.StatResult(raw(Status.MISS), {}, (None,))) == "StatResult(1 key: 1 miss)"
