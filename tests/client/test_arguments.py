"""Arguments of a wrong kind or out of range: refused at once, with what to pass instead."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import Limits, Timeouts
from holdfast._calls import SpaceCalls
from holdfast._region import Region
from holdfast._space_binding import SpaceBinding
from holdfast_proto import meta_pb2 as pb
from tests.client.conftest import BLOCK_BYTES

Wrong = Callable[[], object]


@pytest.fixture
def anything(tcp_space: holdfast.Space) -> Any:
    """A space without its types: what an unchecked program sees."""
    return tcp_space


@pytest.mark.process
@pytest.mark.parametrize("call", ["put", "get"])
@pytest.mark.parametrize("kind", ["region", "array", "list", "none"])
def test_what_is_no_segments_says_what_to_pass(anything: Any, call: str, kind: str) -> None:
    with anything.allocate(BLOCK_BYTES) as region:
        wrong = {"region": region, "array": np.zeros(4), "list": [region], "none": None}[kind]
        with pytest.raises(holdfast.InvalidArgument, match=r"region\.blocks.*Segments\.paged"):
            getattr(anything, call)([b"key"], wrong)


@pytest.mark.process
@pytest.mark.parametrize("keys", [None, 5, 1.5, object()])
def test_what_is_no_keys_is_refused(anything: Any, keys: object) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="keys"):
        anything.match(keys)


@pytest.mark.process
@pytest.mark.parametrize("deadline", ["1", [1], np.zeros(2)])
def test_a_deadline_must_be_a_number(anything: Any, deadline: object) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="number of seconds"):
        anything.match([b"key"], deadline=deadline)


@pytest.mark.process
@pytest.mark.parametrize("position", [1.0, None, "0", -1, 2**32])
def test_a_position_must_be_an_integer_in_range(anything: Any, position: object) -> None:
    with anything.allocate(BLOCK_BYTES) as region:
        with pytest.raises(holdfast.InvalidArgument, match="first_position"):
            anything.put([b"key"], region.blocks(), position)


@pytest.mark.process
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a\ud800b"},
        {"name": 5},
        {"name": "space", "fingerprint": "\udfff"},
        {"name": "space", "redundancy": 2},
        {"name": "space", "block_bytes": 4096.0},
        {"name": "space", "block_bytes": "4096"},
        {"name": "space", "ttl": 1.5},
        {"name": "space", "priority": None, "ttl": -1},
    ],
)
def test_a_space_of_wrong_kinds_is_refused(
    tcp_cluster: holdfast.Cluster, wrong: dict[str, Any]
) -> None:
    with pytest.raises(holdfast.InvalidArgument):
        tcp_cluster.space(create="block_bytes" in wrong, **wrong)


@pytest.mark.process
def test_a_name_to_delete_must_be_text(tcp_cluster: holdfast.Cluster) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="name"):
        tcp_cluster.delete_space("a\ud800b")


@pytest.mark.parametrize(
    "wrong",
    [
        {"operations_max": 2**40},
        {"operations_max": 1.5},
        {"bytes_in_flight_max": 2**70},
        {"bytes_in_flight_max": 0},
        {"retry_backoff_ms_min": 5000, "retry_backoff_ms_max": 10},
        {"retry_backoff_ms_max": 2**33},
    ],
)
def test_limits_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=next(iter(wrong))):
        Limits(**wrong)


@pytest.mark.parametrize("wrong", [{"connect_s": 61}, {"get_s": "1"}, {"put_s": 601}])
def test_timeouts_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=next(iter(wrong))):
        Timeouts(**wrong)


@pytest.mark.process
def test_every_limit_in_range_can_be_used(local: holdfast.LocalCluster) -> None:
    least = Limits(1, 1, 1, 1), Timeouts(connect_s=1e-6)
    most = Limits(1 << 20, 1 << 50, 600_000, 600_000), Timeouts(connect_s=60)
    for limits, timeouts in (least, most):
        with local.connect(limits=limits, timeouts=timeouts, lanes=16) as cluster:
            assert cluster.epoch > 0


def test_the_shortest_pin_lasts_a_millisecond_and_does_not_unpin() -> None:
    session: Any = SimpleNamespace(
        native=None, observe=None, timeouts=Timeouts(), check_usable=lambda: None
    )
    calls = SpaceCalls(session, SpaceBinding(pb.SpaceInfo(name="space", number=1)))
    asked = []
    for seconds in (1e-9, 0.0005, 0.001, 0.0019, 600):
        _, _, _, _, duration_ms, _ = calls.pin([b"key"], seconds, None).arguments
        asked.append(duration_ms)
    assert asked == [1, 1, 1, 1, 600_000]


@pytest.mark.parametrize("lanes", [0, 17, 1.5, "2"])
def test_lanes_out_of_range_are_refused(lanes: Any) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="lanes"):
        holdfast.connect("127.0.0.1:1", tenant="team", key="key", lanes=lanes)


@pytest.mark.parametrize(
    "objects",
    [
        np.array([1, "a"], dtype=object),
        np.zeros(2, dtype=[("number", "i8"), ("what", object)]),
    ],
)
def test_arrays_of_python_objects_are_no_memory(objects: object) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="Python objects"):
        Region.of_buffer(objects, 64, close_s=5)


def test_records_of_numbers_are_memory() -> None:
    records = np.zeros(2, dtype=[("Offset", "i8"), ("O", "f8")])
    with Region.of_buffer(records, 16, close_s=5) as region:
        assert region.nbytes == 32


@pytest.mark.parametrize("nbytes", [1.5, "64", 2**70])
def test_memory_of_no_possible_size_is_refused(nbytes: Any) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="nbytes"):
        Region.allocated(nbytes, 64, close_s=5)


@pytest.mark.parametrize(
    "wrong", [{"block_bytes": 64.0}, {"block_bytes": "64"}, {"offset_bytes": 1.0}]
)
def test_blocks_of_a_region_take_integers(wrong: dict[str, Any]) -> None:
    with Region.of_buffer(bytearray(128), 64, close_s=5) as region:
        with pytest.raises(holdfast.InvalidArgument, match=next(iter(wrong))):
            region.blocks(**wrong)
