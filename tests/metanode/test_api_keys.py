"""API keys: derived so that a retry shows the same one, stored so that they cannot be read."""

from __future__ import annotations

from holdfast_kvstore.secret import Secret
from holdfast_metanode.api_keys import derive_key, hash_key, matches

SECRET = Secret(b"0123456789abcdef")


def test_same_nonce_same_key_else_another() -> None:
    key = derive_key(SECRET, "a", b"nonce")
    assert key == derive_key(SECRET, "a", b"nonce")
    others = {
        derive_key(SECRET, "b", b"nonce"),
        derive_key(SECRET, "a", b"nonce2"),
        derive_key(Secret(b"fedcba9876543210"), "a", b"nonce"),
        derive_key(SECRET, "ea", b"nonc"),
    }
    assert key not in others
    assert len(others) == 4
    assert key.startswith("hf_")
    assert len(key) == 46


def test_only_the_key_matches_its_hash() -> None:
    stored = hash_key("hf_right", b"s" * 16)
    assert matches("hf_right", stored)
    assert not matches("hf_wrong", stored)
    assert stored.hash != hash_key("hf_right", b"t" * 16).hash
    assert b"hf_right" not in stored.SerializeToString()
