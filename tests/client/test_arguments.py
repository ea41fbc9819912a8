"""Arguments of a wrong kind or out of range: refused at once, with what to pass instead."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import Limits, PackedKeys, Plane, Segments, Timeouts
from holdfast._admin import AdminClient
from holdfast._calls import SpaceCalls
from holdfast._region import Region
from holdfast._space_binding import SpaceBinding
from holdfast_kvstore.secret import Secret
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


# Of any kind, as an unchecked program has it.
_plane: Any = Plane
_paged: Any = Segments.paged
_packed: Any = PackedKeys


@pytest.mark.parametrize("field", ["base", "block_stride", "run_bytes", "runs", "run_stride"])
@pytest.mark.parametrize("wrong", [2**63, 2**80, -(2**80), 1.5, None])
def test_a_plane_is_of_integers_of_64_bits(field: str, wrong: object) -> None:
    with Region.of_buffer(bytearray(64), 64, close_s=5) as region:
        fields = {"base": 0, "block_stride": 64, "run_bytes": 64} | {field: wrong}
        with pytest.raises(holdfast.InvalidArgument, match=field):
            _plane(region, **fields)


@pytest.mark.parametrize("field", ["base", "block_stride", "run_stride"])
@pytest.mark.parametrize("edge", [2**63 - 1, -(2**63)])
def test_the_outermost_fields_of_a_plane_are_carried(field: str, edge: int) -> None:
    with Region.of_buffer(bytearray(64), 64, close_s=5) as region:
        fields = {"base": 0, "block_stride": 64, "run_bytes": 64} | {field: edge}
        assert len(_paged([_plane(region, **fields)], [])) == 0


@pytest.mark.parametrize("indices", [[0], []])
@pytest.mark.parametrize(
    ("planes", "says"),
    [
        ([1], "plane 0 is a int"),
        (["plane"], "plane 0 is a str"),
        (5, "planes are a int"),
        (None, "planes are a NoneType"),
        (Plane(np.zeros(64), 0, 64, 64), "put it in a list"),
        ([_plane(b"x", 0, 1, 1)], "bytes.*register"),
        ([_plane(None, 0, 1, 1)], "NoneType.*register"),
        ([_plane(SimpleNamespace(nbytes=lambda: 64), 0, 1, 1)], "SimpleNamespace.*register"),
    ],
)
def test_what_is_no_planes_is_refused(planes: object, says: str, indices: list[int]) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=says):
        _paged(planes, indices)


class OnAnotherDevice:
    """Refuses to be an array, as a torch tensor in GPU memory does."""

    def __array__(self, *arguments: object, **options: object) -> object:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    "indices", [[[1], [2, 3]], [[0]], None, 5, "0", [2**80], {0: 1}, OnAnotherDevice()]
)
def test_what_is_no_indices_is_refused(indices: object) -> None:
    with Region.of_buffer(bytearray(128), 64, close_s=5) as region:
        with pytest.raises(holdfast.InvalidArgument, match="indices"):
            _paged([Plane(region, base=0, block_stride=64, run_bytes=64)], indices)


@pytest.mark.parametrize(
    ("data", "key_bytes", "says"),
    [
        (None, 4, "NoneType"),
        ("text", 4, "str"),
        ([b"12345678"], 4, "list"),
        (memoryview(bytes(16))[::2], 4, "contiguous"),
        (b"12345678", "4", "key_bytes"),
        (b"12345678", 4.0, "key_bytes"),
        (b"12345678", None, "key_bytes"),
        (b"", 2**80, "key_bytes"),
    ],
)
def test_what_is_no_packed_keys_is_refused(data: object, key_bytes: object, says: str) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=says):
        _packed(data, key_bytes)


def test_a_single_number_is_memory_of_one_element() -> None:
    record = np.zeros((), dtype=[("offset", "i8"), ("weight", "f4")])
    read_only = np.zeros((), dtype=np.int32)
    read_only.flags.writeable = False
    for memory, nbytes in ((np.zeros(()), 8), (record, 12), (ctypes.c_int(5), 4), (read_only, 4)):
        with Region.of_buffer(memory, nbytes, close_s=5) as region:
            assert (region.nbytes, len(region.blocks())) == (nbytes, 1)
            assert region.readonly is (memory is read_only)
    shared = np.zeros((), dtype=np.uint64)
    with Region.of_buffer(shared, 8, close_s=5) as region:
        assert region._native.address == shared.ctypes.data


def test_a_tensor_that_hands_out_no_memory_says_why() -> None:
    class NeedsGradient:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

        def __dlpack__(self, **options: object) -> object:
            raise BufferError("can't export tensors that require gradient")

    with pytest.raises(holdfast.InvalidArgument, match=r"NeedsGradient.*require gradient"):
        Region.of_buffer(NeedsGradient(), 64, close_s=5)


@pytest.mark.process
@pytest.mark.parametrize("timeout", [np.array([1, 2]), [1], {}])
def test_a_timeout_of_a_pending_call_is_a_number(anything: Any, timeout: object) -> None:
    pending = anything.futures.match([b"key"])
    with pytest.raises(holdfast.InvalidArgument, match="timeout"):
        pending.result(timeout)
    assert pending.result() == 0


@pytest.mark.process
def test_a_callback_must_be_callable(anything: Any) -> None:
    pending = anything.futures.match([b"key"])
    with pytest.raises(holdfast.InvalidArgument, match=r"callback.*NoneType"):
        pending.add_done_callback(None)
    assert pending.result() == 0


@pytest.mark.parametrize(
    ("address", "options", "says"),
    [
        ([1], {}, "address is 1"),
        (["127.0.0.1:1", None], {}, "address is None"),
        (5, {}, "address is a int"),
        (b"127.0.0.1:1", {}, "address is a bytes"),
        ("a\ud800:1", {}, "surrogate"),
        ("127.0.0.1:1", {"tls": "x"}, r"tls is a str.*holdfast\.Tls"),
        ("127.0.0.1:1", {"tls": False}, "tls is a bool"),
        ("127.0.0.1:1", {"timeouts": 5}, r"timeouts is a int.*holdfast\.Timeouts"),
        ("127.0.0.1:1", {"timeouts": 0}, "timeouts is a int"),
        ("127.0.0.1:1", {"limits": {}}, r"limits is a dict.*holdfast\.Limits"),
    ],
)
def test_connect_takes_no_other_kinds(address: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=says):
        holdfast.connect(address, tenant="team", key="key", **options)


@pytest.mark.parametrize("addresses", [["127.0.0.1:1"], ("127.0.0.1:1",), "127.0.0.1:1, h:2"])
def test_addresses_come_as_text_or_a_sequence(addresses: Any) -> None:
    holdfast.connect(addresses, tenant="team", key="key").close()


@pytest.mark.parametrize(
    ("call", "arguments", "says"),
    [
        ("drain_node", (2**64,), f"id of the node is {2**64}"),
        ("undrain_node", (-1,), "node is -1"),
        ("remove_node", ("1",), "node is '1'"),
        ("set_node_weight", (2**64, 1.0), "node is"),
        ("set_node_weight", (1, "2"), "weight"),
        ("set_node_weight", (1, 10**400), "weight"),
        ("set_node_weight", (1, float("nan")), "weight"),
        ("create_tenant", ("team", 99999999999999 << 20), "limit_bytes"),
        ("create_tenant", ("team", -1), "limit_bytes"),
        ("create_tenant", (5,), "tenant"),
        ("delete_tenant", ("a\udcff",), "tenant"),
        ("split_groups", (2**32,), "factor"),
        ("add_member", (2**64, "127.0.0.1:1"), "member"),
        ("add_member", (4, None), "address"),
        ("remove_member", (-1,), "member"),
        ("transfer_leader", (1.5,), "member"),
        ("raise_level", (2**32,), "level"),
    ],
)
def test_operators_numbers_fit_the_protocol(
    call: str, arguments: tuple[object, ...], says: str
) -> None:
    # Nobody listens there: what is checked early is refused without asking anybody.
    with AdminClient(["127.0.0.1:1"], Secret(b"s" * 32)) as admin:
        with pytest.raises(holdfast.InvalidArgument, match=says):
            getattr(admin, call)(*arguments)
