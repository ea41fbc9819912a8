"""What names a space: equal facts, equal name; any other fact, another one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast.engines.fingerprint import Fingerprint
from holdfast_kvstore.policies import LIMITS

FACTS: dict[str, Any] = {
    "weights": "ab" * 32,
    "dtype": "bfloat16",
    "layers": [0, 32],
    "groups": [["full", 16], ["window", 16]],
    "scales": None,
}


def test_the_order_of_facts_does_not_count() -> None:
    turned = dict(reversed(FACTS.items()))
    assert Fingerprint(FACTS).digest == Fingerprint(turned).digest


@pytest.mark.parametrize(
    "other",
    [
        {"dtype": "float16"},
        {"layers": [0, 31]},
        {"layers": [32, 0]},
        {"groups": [["full", 16], ["window", 32]]},
        {"scales": 0},
        {"more": True},
    ],
)
def test_any_other_fact_is_another_space(other: dict[str, Any]) -> None:
    one, two = Fingerprint(FACTS), Fingerprint({**FACTS, **other})
    assert one.digest != two.digest
    assert one.space_name("kv", "llama") != two.space_name("kv", "llama")
    assert one.text != two.text


def test_facts_of_other_kinds_differ() -> None:
    texts = {Fingerprint({"scale": value}).digest for value in (1, "1", True, 1.5, None)}
    assert len(texts) == 5


@pytest.mark.parametrize("label", ["llama-3", "meta/Llama 3 (8B)", "ü" * 300, "", "--", "x" * 500])
def test_a_name_is_fit_whatever_the_model_is_called(label: str) -> None:
    name = Fingerprint(FACTS).space_name("kv", label)
    assert len(name.encode()) <= LIMITS.name_bytes_max
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert name.endswith(Fingerprint(FACTS).digest[:32])


def test_the_text_has_the_digest_and_what_there_is_room_for() -> None:
    long = Fingerprint({f"fact-{number:04}": "ü" * 20 for number in range(200)})
    assert len(long.text.encode()) <= LIMITS.fingerprint_bytes_max
    assert long.text.startswith(f"sha256:{long.digest} ")
    assert "bfloat16" in Fingerprint(FACTS).text
