"""The exception tree: every class survives the wire, and says what happened and what to do."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import errors
from holdfast_kvstore.errors import HoldfastError, from_wire, to_wire

CLASSES = sorted(
    (
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, HoldfastError)
    ),
    key=lambda found: found.__name__,
)
MADE: list[HoldfastError] = [
    errors.NotLeader("10.0.0.1:7000"),
    errors.NotLeader(),
    errors.SpaceMismatch("t/kv", "block_bytes", "65536", "4096"),
    errors.WrongCluster("aa", "bb"),
    errors.VersionSkew("hello", "1 to 2", "3 to 3"),
    errors.StaleEpoch(8, 7),
    errors.NotFound("space t/kv does not exist: create it", space="t/kv"),
]


@pytest.mark.parametrize("found", CLASSES)
def test_each_class_has_a_code_a_status_and_a_docstring(found: type[HoldfastError]) -> None:
    assert found.__doc__
    assert found.code == found.code.lower()
    assert found.grpc_status.isupper()


def test_codes_are_unique() -> None:
    assert len({found.code for found in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("error", MADE, ids=lambda error: error.code)
def test_an_error_comes_back_from_the_wire_as_it_was(error: HoldfastError) -> None:
    again = from_wire(*to_wire(error))
    assert type(again) is type(error)
    assert (again.message, again.details) == (error.message, error.details)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copied) is type(error)
    assert copied.message == error.message


@given(
    code=st.sampled_from([found.code for found in CLASSES]),
    message=st.text(),
    details=st.dictionaries(st.text(), st.text(), max_size=4),
)
def test_any_text_crosses_the_wire(code: str, message: str, details: dict[str, str]) -> None:
    assert to_wire(from_wire(code, message, details)) == (code, message, details)


def test_a_code_of_a_newer_version_stays_an_error_with_its_code() -> None:
    error = from_wire("made_in_the_future", "something new", {"a": "b"})
    assert type(error) is HoldfastError
    assert to_wire(error)[0] == "made_in_the_future"


def test_values_that_differ_are_both_shown() -> None:
    mismatch = errors.SpaceMismatch("t/kv", "block_bytes", "65536", "4096")
    assert (mismatch.stored, mismatch.asked) == ("65536", "4096")
    assert "65536" in str(mismatch)
    assert "4096" in str(mismatch)
    skew = errors.VersionSkew("hello", "1 to 2", "3")
    assert (skew.ours, skew.theirs) == ("1 to 2", "3")
    wrong = errors.WrongCluster(expected="aa", found="bb")
    assert (wrong.expected, wrong.found) == ("aa", "bb")


def test_a_redirect_names_the_leader_if_there_is_one() -> None:
    assert errors.NotLeader("10.0.0.1:7000").leader_address == "10.0.0.1:7000"
    assert errors.NotLeader().leader_address is None
