"""Spaces: ranges, redundancy, the stored form, and what an opener may expect."""

import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import (
    Corrupt,
    InvalidArgument,
    Redundancy,
    SpaceMismatch,
    SpaceSpec,
    VersionSkew,
)
from tests.kvstore.golden_file import golden

SPACE = SpaceSpec(
    name="llama-3/fp8",
    tenant="research",
    tenant_number=7,
    number=42,
    block_bytes=1 << 20,
    redundancy=Redundancy(2),
    ttl_s=3_600,
    priority=3,
    fingerprint="llama-3-70b/layers=80/fp8",
    generation=2,
)
NUMBERS = st.integers(1, 2**32 - 1)
SPACES = st.builds(
    SpaceSpec,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,60}", fullmatch=True),
    tenant=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,60}", fullmatch=True),
    tenant_number=NUMBERS,
    number=NUMBERS,
    block_bytes=st.integers(1, 8 << 20),
    redundancy=st.one_of(
        st.builds(Redundancy, st.integers(1, 3)),
        st.builds(Redundancy, st.just(1), st.integers(1, 32), st.integers(1, 8)),
    ),
    ttl_s=st.integers(0, 2**32 - 1),
    priority=st.integers(0, 255),
    fingerprint=st.text(max_size=200),
    generation=NUMBERS,
)


@given(SPACES)
def test_a_space_comes_back_from_its_stored_form(space: SpaceSpec) -> None:
    assert SpaceSpec.decode(space.encode()) == space


@given(st.binary(max_size=200))
def test_garbage_is_a_typed_error(data: bytes) -> None:
    with pytest.raises((Corrupt, VersionSkew)):
        SpaceSpec.decode(data)


@given(st.integers(0, 500), st.integers(0, 255))
def test_a_changed_byte_is_read_or_is_a_typed_error(position: int, value: int) -> None:
    data = bytearray(SPACE.encode())
    data[position % len(data)] = value
    with contextlib.suppress(Corrupt, VersionSkew):
        SpaceSpec.decode(bytes(data))


def test_version_1_stays_readable() -> None:
    form = golden("space_v1.json", {"encoded": SPACE.encode().hex()})
    assert SpaceSpec.decode(bytes.fromhex(form["encoded"])) == SPACE


CUT = dataclasses.replace(SPACE, redundancy=Redundancy(data=4, parity=2), block_bytes=60 << 20)


def test_a_space_of_cut_blocks_stays_readable() -> None:
    form = golden("space_v1_cut.json", {"encoded": CUT.encode().hex()})
    assert SpaceSpec.decode(bytes.fromhex(form["encoded"])) == CUT


def test_blocks_that_are_cut_may_be_larger_than_what_a_node_stores_of_one() -> None:
    assert CUT.chunk_bytes == (15 << 20) + 32
    wide = dataclasses.replace(CUT, redundancy=Redundancy(data=32, parity=8))
    assert dataclasses.replace(wide, block_bytes=256 << 20).chunk_bytes == (8 << 20) + 32
    with pytest.raises(InvalidArgument, match=r"cut into chunks of 16777248 bytes by ec:4\+2"):
        dataclasses.replace(CUT, block_bytes=64 << 20)
    with pytest.raises(InvalidArgument, match="1 to 268435456 bytes"):
        dataclasses.replace(wide, block_bytes=(256 << 20) + 1)


def test_a_newer_form_names_both_versions() -> None:
    with pytest.raises(VersionSkew) as caught:
        SpaceSpec.decode(b"\x92\x09\x80")
    assert (caught.value.ours, caught.value.theirs) == ("1", "9")


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("block_bytes", 0, "1 to 16777216 bytes"),
        ("block_bytes", (16 << 20) + 1, "1 to 16777216 bytes"),
        ("ttl_s", -1, "0 to 4294967295 seconds"),
        ("priority", 256, "0 to 255"),
        ("number", 0, "1 to"),
        ("name", "", "letters"),
        ("name", "../etc", "letters"),
        ("name", "x" * 129, "1 to 128"),
        ("tenant", "a b", "letters"),
        ("fingerprint", "é" * 513, "1024 bytes"),
        ("storage_class", "durable", "cache"),
        ("generation", 0, "1 to"),
    ],
)
def test_a_field_out_of_range_is_refused_with_its_range(
    field: str, value: object, shown: str
) -> None:
    with pytest.raises(InvalidArgument, match=shown):
        dataclasses.replace(SPACE, **{field: value})  # type: ignore[arg-type]


def test_an_opener_with_other_expectations_sees_both_values() -> None:
    SPACE.check_matches()
    SPACE.check_matches(block_bytes=1 << 20, fingerprint=SPACE.fingerprint)
    with pytest.raises(SpaceMismatch) as caught:
        SPACE.check_matches(block_bytes=4096)
    assert (caught.value.stored, caught.value.asked) == ("1048576", "4096")
    with pytest.raises(SpaceMismatch, match=r"fp8.*gpt"):
        SPACE.check_matches(fingerprint="gpt")
    with pytest.raises(SpaceMismatch, match=r"mirror:2.*single"):
        SPACE.check_matches(redundancy=Redundancy())
