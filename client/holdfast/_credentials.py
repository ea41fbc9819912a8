"""How a call to the metadata cluster says who makes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from holdfast._limits import check_text
from holdfast.errors import InvalidArgument
from holdfast_kvstore.secret import NONCE_BYTES, Secret, body_digest, load_secret, sign
from holdfast_kvstore.spaces import check_name

_REFERENCES = ("file:", "env:")
Headers = tuple[tuple[str, str], ...]


class Credential(Protocol):
    """What goes with each call."""

    def headers(self, method: str, body: bytes) -> Headers:
        """gRPC metadata for one call of `method` with the serialised `body`."""


def load_api_key(reference: str) -> str:
    """The API key at "file:PATH" or "env:NAME". Raises ConfigInvalid, InvalidArgument."""
    # Bytes that are no ASCII become characters that the check of the key names.
    return load_secret(reference, what="tenant's key").reveal().decode("latin-1")


def _checked_key(key: str) -> str:
    """The key itself, without the white space around it. Never repeated in an error."""
    if not isinstance(key, str):
        raise InvalidArgument(
            f"key is of type {type(key).__name__}, it must be text: the API key, "
            '"file:PATH" or "env:NAME"'
        )
    text = (load_api_key(key) if key.startswith(_REFERENCES) else key).strip()
    if not text:
        raise InvalidArgument("key is empty: pass the tenant's API key, file:PATH or env:NAME")
    for place, character in enumerate(text, start=1):
        if not "!" <= character <= "~":
            what = "white space" if character.isspace() else "a character that is not ASCII"
            if character < " " and not character.isspace():
                what = "a control character"
            raise InvalidArgument(
                f"key has {what} at place {place} of {len(text)}: an API key is one word, as "
                "`holdfast tenant create` shows it"
            )
    return text


class TenantCredential:
    """A tenant's name and API key.

    key: the key itself, or where it lies: "file:PATH" or "env:NAME". White space around it, such
    as the line break at the end of a file, is dropped. Raises InvalidArgument for what is no key
    or no name, ConfigInvalid for a file or variable that cannot be read.
    """

    def __init__(self, tenant: str, key: str) -> None:
        check_text("tenant", tenant)
        check_name("tenant", tenant)
        self._headers = (("holdfast-tenant", tenant), ("holdfast-key", _checked_key(key)))

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
