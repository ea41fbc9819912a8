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
    block_bytes=st.integers(1, 16 << 20),
    redundancy=st.builds(Redundancy, st.integers(1, 3)),
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


@pytest.mark.parametrize(("text", "copies"), [("single", 1), ("mirror:2", 2), ("mirror:3", 3)])
def test_redundancy_is_read_and_written(text: str, copies: int) -> None:
    assert Redundancy.parse(text) == Redundancy(copies)
    assert str(Redundancy.parse(text)) == text
    assert Redundancy.parse(text).nodes_needed == copies


@pytest.mark.parametrize("text", ["", "mirror", "mirror:1", "mirror:4", "mirror:x", "raid", "ec:"])
def test_other_redundancy_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="redundancy"):
        Redundancy.parse(text)


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
