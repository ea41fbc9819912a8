"""The cluster's secret, and the credentials by which its members know each other's requests.

A credential is text for one request: "v1:<unix seconds>:<nonce, hex>:<HMAC-SHA256, hex>". The
HMAC covers method, digest of the body, time and nonce, with a key derived from the secret, so
that a credential opens nothing but the request that it was made for, once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from holdfast_kvstore.errors import (
    Busy,
    ConfigInvalid,
    HoldfastError,
    InvalidArgument,
    Unauthenticated,
)
from holdfast_kvstore.policies import TIMES

SECRET_BYTES_MIN = 16
"""Shortest secret that is accepted."""
SECRET_BYTES_MAX = 4_096
"""Longest secret that is accepted."""
NONCE_BYTES = 16
"""Bytes of a nonce; drawn at random for each request."""
_REASON = "secret"
_CONTEXT = b"holdfast request credential v1"
_FORM = re.compile(r"v1:(0|[1-9][0-9]{0,18}):([0-9a-f]{32}):([0-9a-f]{64})\Z")


class Secret:
    """Bytes that must not reach a log: neither `repr` nor `str` shows them."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: bytes, origin: str = "") -> None:
        if not SECRET_BYTES_MIN <= len(value) <= SECRET_BYTES_MAX:
            raise ConfigInvalid(_wrong_size(value, "secret"))
        self._value = bytes(value)
        self.origin = origin
        """Where it was read: "file:PATH" or "env:NAME"; empty where that is not known."""

    def reveal(self) -> bytes:
        """The bytes. Name them nowhere."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


def load_secret(
    reference: str, environment: Mapping[str, str] = os.environ, what: str = "secret"
) -> Secret:
    """The secret that a configuration names: "file:PATH" or "env:NAME".

    White space around it is dropped. what: what it is, for errors. Raises ConfigInvalid if there
    is none or it is too short.
    """
    scheme, _, where = reference.partition(":")
    if scheme not in ("file", "env") or not where:
        # The reference may be the secret itself, put there by mistake: it is not repeated.
        raise ConfigInvalid(f'the {what} is named as "file:PATH" or "env:NAME", not given as text')
    if scheme == "env":
        found = environment.get(where)
        if found is None:
            raise ConfigInvalid(f"environment variable {where} of the {what} is not set")
        return _checked(reference, found.strip().encode(), what)
    try:
        with Path(where).open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 64)
    except OSError as error:
        raise ConfigInvalid(f"file {where} of the {what} cannot be read: {error}") from error
    return _checked(reference, data.strip(), what)


def _checked(reference: str, value: bytes, what: str) -> Secret:
    if not SECRET_BYTES_MIN <= len(value) <= SECRET_BYTES_MAX:
        raise ConfigInvalid(f"{reference}: {_wrong_size(value, what)}")
    return Secret(value, reference)


def _wrong_size(value: bytes, what: str) -> str:
    return f"{what} has {len(value)} bytes, it must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}"


class ReplayCache:
    """Nonces seen within the window in which a credential holds. Bounded; safe between threads."""

    def __init__(self, entries_max: int = 1 << 19) -> None:
        if entries_max < 1:
            raise InvalidArgument(f"entries_max is {entries_max}, it must be at least 1")
        self._entries_max = entries_max
        self._expires_at_s: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._expires_at_s)

    def add(self, nonce: bytes, now_s: int, life_s: int) -> bool:
        """Notes a nonce for `life_s` seconds; False if it was noted before.

        Raises Busy when full: forgetting a nonce early would let it be used twice.
        """
        with self._lock:
            while self._expires_at_s:
                oldest, expires_at_s = next(iter(self._expires_at_s.items()))
                if expires_at_s > now_s:
                    break
                del self._expires_at_s[oldest]
            if nonce in self._expires_at_s:
                return False
            if len(self._expires_at_s) >= self._entries_max:
                raise Busy(
                    f"{self._entries_max} authenticated requests within {life_s} s are the limit: "
                    "try again"
                )
            self._expires_at_s[nonce] = now_s + life_s
            return True


def body_digest(body: bytes) -> bytes:
    """SHA-256 of a request's serialised body."""
    return hashlib.sha256(body).digest()


def _code(secret: Secret, method: str, digest: bytes, now_s: int, nonce: bytes) -> str:
    key = hmac.digest(secret.reveal(), _CONTEXT, "sha256")
    name = method.encode()
    parts = (len(name).to_bytes(4, "little"), name, len(digest).to_bytes(4, "little"), digest)
    message = b"".join((*parts, now_s.to_bytes(8, "little"), nonce))
    return hmac.digest(key, message, "sha256").hex()


def sign(secret: Secret, method: str, digest: bytes, now_s: int, nonce: bytes) -> str:
    """The credential of one request.

    `method`: full gRPC method name; `digest`: `body_digest` of its body, or empty for a stream;
    `now_s`: Unix seconds; `nonce`: 16 fresh random bytes. Raises InvalidArgument.
    """
    if len(nonce) != NONCE_BYTES or now_s < 0:
        raise InvalidArgument(f"a credential needs {NONCE_BYTES} bytes of nonce and a time >= 0")
    return f"v1:{now_s}:{nonce.hex()}:{_code(secret, method, digest, now_s, nonce)}"


def naming_origin(error: HoldfastError, secret: Secret) -> HoldfastError:
    """`error` as the caller is to read it: a refused secret is named by where it was read."""
    if error.details.get("reason") != _REASON or not secret.origin:
        return error
    return Unauthenticated(
        f"the secret from {secret.origin} is not this cluster's: use the one that its metadata "
        "members were started with",
        reason=_REASON,
    )


def verify(
    secret: Secret,
    credential: str,
    method: str,
    digest: bytes,
    now_s: int,
    replays: ReplayCache,
    skew_s: int = TIMES.credential_skew_s,
) -> None:
    """Raises Unauthenticated, saying why, unless `credential` was signed for this request.

    Refuses what is more than `skew_s` away from `now_s` and what `replays` has seen. Raises Busy
    when `replays` is full.
    """
    found = _FORM.match(credential)
    if found is None:
        raise Unauthenticated("request has no credential of the form v1:TIME:NONCE:CODE")
    signed_at_s, nonce = int(found[1]), bytes.fromhex(found[2])
    if signed_at_s >= 2**63 or not hmac.compare_digest(
        found[3], _code(secret, method, digest, signed_at_s, nonce)
    ):
        raise Unauthenticated(
            "the secret that this request was signed with is not this cluster's (or the request "
            "was changed on its way)",
            reason=_REASON,
        )
    if abs(now_s - signed_at_s) > skew_s:
        raise Unauthenticated(
            f"request's credential is of {signed_at_s} s, the clock here says {now_s} s: more than "
            f"{skew_s} s apart; set both clocks"
        )
    if not replays.add(nonce, now_s, 2 * skew_s + 1):
        raise Unauthenticated("request's credential was used before")
