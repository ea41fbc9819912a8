"""Request credentials and the secret that they are made with."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import (
    Busy,
    ConfigInvalid,
    InvalidArgument,
    ReplayCache,
    Secret,
    Unauthenticated,
    load_secret,
)
from holdfast_kvstore.secret import body_digest, naming_origin, sign, verify

SECRET = Secret(b"0123456789abcdef")
METHOD = "/holdfast.Node/Join"
DIGEST = body_digest(b"body")
NONCE = bytes(range(16))


@given(st.binary(min_size=16, max_size=64), st.text(), st.binary(), st.integers(0, 2**40))
def test_a_credential_holds_for_its_request(
    value: bytes, method: str, body: bytes, now_s: int
) -> None:
    method = method.encode("utf-8", "replace").decode()
    credential = sign(Secret(value), method, body_digest(body), now_s, NONCE)
    verify(Secret(value), credential, method, body_digest(body), now_s, ReplayCache())


@pytest.mark.parametrize(
    ("secret", "method", "digest"),
    [
        (Secret(b"another secret!!"), METHOD, DIGEST),
        (SECRET, "/holdfast.Node/Leave", DIGEST),
        (SECRET, METHOD, body_digest(b"other")),
    ],
)
def test_another_secret_method_or_body_is_refused(
    secret: Secret, method: str, digest: bytes
) -> None:
    credential = sign(SECRET, METHOD, DIGEST, 1_000, NONCE)
    with pytest.raises(Unauthenticated, match="is not this cluster's"):
        verify(secret, credential, method, digest, 1_000, ReplayCache())


@given(st.text(max_size=200))
def test_garbage_is_refused(credential: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(SECRET, credential, METHOD, DIGEST, 0, ReplayCache())


def test_a_changed_time_is_refused() -> None:
    version, _, nonce, code = sign(SECRET, METHOD, DIGEST, 1_000, NONCE).split(":")
    with pytest.raises(Unauthenticated, match="is not this cluster's"):
        verify(SECRET, f"{version}:1030:{nonce}:{code}", METHOD, DIGEST, 1_030, ReplayCache())


@pytest.mark.parametrize("now_s", [939, 1_061])
def test_clocks_too_far_apart_are_refused_with_both_times(now_s: int) -> None:
    credential = sign(SECRET, METHOD, DIGEST, 1_000, NONCE)
    verify(SECRET, credential, METHOD, DIGEST, 1_060, ReplayCache())
    with pytest.raises(Unauthenticated, match=f"1000 s.*{now_s} s"):
        verify(SECRET, credential, METHOD, DIGEST, now_s, ReplayCache())


def test_a_credential_is_used_once() -> None:
    replays = ReplayCache()
    early = sign(SECRET, METHOD, DIGEST, 1_000, NONCE)
    verify(SECRET, early, METHOD, DIGEST, 940, replays)
    for now_s in (940, 1_000, 1_060):
        with pytest.raises(Unauthenticated, match="used before"):
            verify(SECRET, early, METHOD, DIGEST, now_s, replays)


def test_the_replay_cache_is_bounded_and_forgets_in_time() -> None:
    replays = ReplayCache(entries_max=2)
    assert replays.add(b"a", 0, 10)
    assert replays.add(b"b", 5, 10)
    with pytest.raises(Busy, match="2 authenticated requests"):
        replays.add(b"c", 6, 10)
    assert replays.add(b"c", 10, 10)
    assert len(replays) == 2
    assert not replays.add(b"b", 11, 10)
    with pytest.raises(InvalidArgument):
        ReplayCache(entries_max=0)


def test_the_value_is_never_shown() -> None:
    assert "0123" not in f"{SECRET!r} {SECRET}"
    assert Secret(b"0123456789abcdef") == SECRET
    assert Secret(b"0123456789abcdeX") != SECRET
    with pytest.raises(TypeError):
        pickle.dumps(SECRET)


def test_a_secret_is_loaded_from_a_file_or_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("0123456789abcdef\n")
    assert load_secret(f"file:{path}") == SECRET
    assert load_secret("env:HOLDFAST_SECRET", {"HOLDFAST_SECRET": "0123456789abcdef "}) == SECRET


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("env:HOLDFAST_SECRET", "HOLDFAST_SECRET"),
        ("file:/does/not/exist", "/does/not/exist"),
        ("file:", "file:PATH"),
        ("env:SHORT", "env:SHORT: secret has 5 bytes"),
    ],
)
def test_a_secret_that_is_not_there_is_named(reference: str, shown: str) -> None:
    with pytest.raises(ConfigInvalid, match=shown):
        load_secret(reference, {"SHORT": "short"})


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("file:/does/not/exist", "file /does/not/exist of the tenant's key cannot be read"),
        ("env:NONE", "environment variable NONE of the tenant's key is not set"),
        ("env:SHORT", "env:SHORT: tenant's key has 5 bytes"),
        ("plain", "the tenant's key is named as"),
    ],
)
def test_a_secret_that_is_not_there_is_called_what_the_caller_says(
    reference: str, shown: str
) -> None:
    with pytest.raises(ConfigInvalid, match=shown):
        load_secret(reference, {"SHORT": "short"}, what="tenant's key")


def test_a_secret_given_as_text_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_secret("my-own-secret-value")
    assert "my-own" not in str(caught.value)


def test_a_nonce_of_another_size_is_not_signed() -> None:
    with pytest.raises(InvalidArgument, match="16 bytes"):
        sign(SECRET, METHOD, DIGEST, 0, b"short")


def test_a_refused_secret_is_named_by_where_it_was_read() -> None:
    mine = load_secret("env:MINE", {"MINE": "another secret than theirs"})
    assert mine.origin == "env:MINE"
    with pytest.raises(Unauthenticated) as caught:
        verify(
            SECRET, sign(mine, METHOD, DIGEST, 1_000, NONCE), METHOD, DIGEST, 1_000, ReplayCache()
        )
    told = naming_origin(caught.value, mine)
    assert isinstance(told, Unauthenticated)
    assert told.message.startswith("the secret from env:MINE is not this cluster's")
    assert "another secret" not in told.message
    assert naming_origin(caught.value, Secret(b"of unknown origin")) is caught.value
    other = Unauthenticated("ticket has ended")
    assert naming_origin(other, mine) is other
