"""How a call to the metadata cluster says who makes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from holdfast_kvstore.secret import NONCE_BYTES, Secret, body_digest, sign

Headers = tuple[tuple[str, str], ...]


class Credential(Protocol):
    """What goes with each call."""

    def headers(self, method: str, body: bytes) -> Headers:
        """gRPC metadata for one call of `method` with the serialised `body`."""


class TenantCredential:
    """A tenant's name and API key."""

    def __init__(self, tenant: str, key: str) -> None:
        self._headers = (("holdfast-tenant", tenant), ("holdfast-key", key))

    def headers(self, method: str, body: bytes) -> Headers:
        """The same for every call."""
        return self._headers

    def __repr__(self) -> str:
        return f"TenantCredential({self._headers[0][1]!r}, ***)"


class ClusterCredential:
    """A signature of each request, made with the cluster's secret: for operators."""

    def __init__(self, secret: Secret, now_s: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._now_s = now_s

    def headers(self, method: str, body: bytes) -> Headers:
        """A fresh signature; it opens this one request, once."""
        nonce = os.urandom(NONCE_BYTES)
        text = sign(self._secret, method, body_digest(body), int(self._now_s()), nonce)
        return (("holdfast-signature", text),)
