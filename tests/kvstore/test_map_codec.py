"""The cluster map's bytes: every map comes back, version 1 stays readable, garbage is refused."""

import contextlib
import struct
import zlib

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import (
    HOLE,
    ClusterMap,
    Corrupt,
    Node,
    NodeState,
    VersionSkew,
    decode_map,
    encode_map,
)
from tests.kvstore.golden_file import golden

MAP = ClusterMap(
    cluster_id=bytes(range(16)),
    epoch=7,
    nodes=(
        Node(1, 11, "10.0.0.1:7000", "/run/a", "boot-a", "host-a", "rack-a", 64, 1 << 36),
        Node(2, 12, "10.0.0.2:7000", "", "", "host-b", "rack-b", 32, 1 << 35, NodeState.DOWN),
        Node(2**64 - 1, 2**64 - 1, "[::1]:7000", state=NodeState.DRAINING),
    ),
    owners=np.array([[0, 1], [1, 0], [0, HOLE]]),
    previous=np.array([[HOLE, HOLE], [2, HOLE], [2, 1]]),
    level=3,
    ticket_keys=(bytes(32), bytes(range(32))),
)
DATA = encode_map(MAP)


@st.composite
def maps(draw: st.DrawFn) -> ClusterMap:
    text = st.text(max_size=20)
    ids = draw(st.lists(st.integers(1, 2**64 - 1), max_size=6, unique=True))
    nodes = tuple(
        Node(
            id=node_id,
            incarnation=draw(st.integers(0, 2**64 - 1)),
            tcp_address=draw(text),
            unix_path=draw(text),
            boot_id=draw(text),
            host=draw(text),
            rack=draw(text),
            weight=draw(st.integers(0, 2**32 - 1)),
            capacity_bytes=draw(st.integers(0, 2**64 - 1)),
            state=draw(st.sampled_from(NodeState)),
        )
        for node_id in sorted(ids)
    )
    groups, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    owners, previous = (random.integers(-1, len(nodes), (groups, width)) for _ in range(2))
    previous[random.random(groups) < 0.7] = HOLE
    return ClusterMap(
        cluster_id=draw(st.binary(min_size=16, max_size=16)),
        epoch=draw(st.integers(1, 2**64 - 1)),
        nodes=nodes,
        owners=owners.astype(np.int32),
        previous=previous.astype(np.int32),
        level=draw(st.integers(0, 2**32 - 1)),
        ticket_keys=tuple(draw(st.lists(st.binary(min_size=32, max_size=32), max_size=3))),
    )


def with_check(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


@given(maps())
def test_a_map_comes_back_from_its_bytes(value: ClusterMap) -> None:
    assert decode_map(encode_map(value)) == value


def test_version_1_stays_readable() -> None:
    form = golden("cluster_map_v1.json", {"encoded": DATA.hex()})
    assert decode_map(bytes.fromhex(form["encoded"])) == MAP


def test_a_large_map_is_compact() -> None:
    groups = 100_000
    owners = np.random.default_rng(1).integers(0, 3, (groups, 3), dtype=np.int32)
    value = ClusterMap(bytes(16), 1, MAP.nodes, owners, np.full((groups, 3), HOLE))
    assert len(encode_map(value)) < groups * 6 + 1_000


@given(st.integers(0, len(DATA) * 8 - 1))
def test_a_flipped_bit_is_found(bit: int) -> None:
    data = bytearray(DATA)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((Corrupt, VersionSkew)):
        decode_map(data)


@given(st.integers(0, len(DATA) - 1))
def test_a_cut_map_is_found(length: int) -> None:
    with pytest.raises(Corrupt):
        decode_map(DATA[:length])


@given(st.binary(max_size=300))
def test_garbage_is_a_typed_error(data: bytes) -> None:
    with pytest.raises((Corrupt, VersionSkew)):
        decode_map(data)


@given(st.data())
def test_a_header_that_lies_is_read_or_is_a_typed_error(data: st.DataObject) -> None:
    """Behind a good checksum, as a faulty or hostile peer would send it."""
    _, _, _, header_bytes = struct.unpack_from("<4sHHI", DATA)
    header = msgpack.unpackb(DATA[12 : 12 + header_bytes])
    name = data.draw(st.sampled_from(sorted(header)))
    value = st.one_of(
        st.none(),
        st.integers(-(2**63), 2**64 - 1),
        st.binary(max_size=40),
        st.text(max_size=4),
        st.lists(st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=11),
    )
    header[name] = data.draw(value)
    packed = msgpack.packb(header)
    prefix = struct.pack("<4sHHI", b"HFCM", 1, 0, len(packed))
    body = prefix + packed + DATA[12 + header_bytes : -4]
    with contextlib.suppress(Corrupt):
        decode_map(with_check(body))


@given(st.binary(max_size=60))
def test_a_header_that_is_no_map_is_a_typed_error(header: bytes) -> None:
    prefix = struct.pack("<4sHHI", b"HFCM", 1, 0, len(header))
    with pytest.raises(Corrupt):
        decode_map(with_check(prefix + header))


def test_a_newer_version_names_both() -> None:
    with pytest.raises(VersionSkew) as caught:
        decode_map(with_check(struct.pack("<4sHHI", b"HFCM", 2, 0, 0)))
    assert (caught.value.ours, caught.value.theirs) == ("1", "2")


def test_an_unknown_field_of_a_later_build_is_passed_over() -> None:
    _, _, _, header_bytes = struct.unpack_from("<4sHHI", DATA)
    header = msgpack.unpackb(DATA[12 : 12 + header_bytes]) | {"added_later": 1}
    packed = msgpack.packb(header)
    prefix = struct.pack("<4sHHI", b"HFCM", 1, 0, len(packed))
    assert decode_map(with_check(prefix + packed + DATA[12 + header_bytes : -4])) == MAP
