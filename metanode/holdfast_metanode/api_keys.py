"""API keys of tenants: shown once as text, stored as a salted hash.

A key is 32 bytes with the full entropy of its derivation, so one keyed hash is enough: slow
password hashes defend what can be guessed, and would only make each call slow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from holdfast_kvstore.secret import Secret
from holdfast_proto import command_pb2 as records

PREFIX = "hf_"
KEY_BYTES = 32
SALT_BYTES = 16


def derive_key(secret: Secret, tenant: str, nonce: bytes) -> str:
    """The text of an API key.

    `nonce`: random bytes, the caller's client id and sequence where it may retry. So a retry that
    another leader answers shows the same key, and no key lies in the log.
    """
    message = len(nonce).to_bytes(2, "little") + nonce + tenant.encode()
    secret_key = hashlib.blake2b(
        secret.reveal(), digest_size=32, person=b"hf api key seed"
    ).digest()
    value = hashlib.blake2b(message, key=secret_key, digest_size=KEY_BYTES, person=b"hf api key")
    return PREFIX + base64.urlsafe_b64encode(value.digest()).decode().rstrip("=")


def hash_key(key: str, salt: bytes) -> records.KeyHash:
    """What is stored of a key."""
    digest = hashlib.blake2b(key.encode(), salt=salt, digest_size=32, person=b"hf key hash")
    return records.KeyHash(salt=salt, hash=digest.digest())


def matches(key: str, stored: records.KeyHash) -> bool:
    """Whether `key` is the one that was stored; takes the same time either way."""
    return hmac.compare_digest(hash_key(key, stored.salt).hash, stored.hash)
