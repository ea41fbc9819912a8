"""Spaces of the same kind of model whose blocks an engine cannot use, and why not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.engines.fingerprint import Fingerprint


def differing_facts(own: Fingerprint, others: Iterable[str]) -> Mapping[str, int]:
    """Names of the facts in which other spaces differ from `own`, with the number of spaces.

    others: fingerprints as spaces have them. What cannot be read counts as "unreadable".
    """
    mine = json.loads(own.canonical())
    found: Counter[str] = Counter()
    for text in others:
        theirs = _facts(text)
        if theirs is None:
            found["unreadable"] += 1
            continue
        names = mine.keys() | theirs.keys()
        found.update(name for name in names if mine.get(name) != theirs.get(name))
    return found


def _facts(text: str) -> Mapping[str, Any] | None:
    try:
        facts = json.loads(text.partition(" ")[2])
    except ValueError:
        return None  # longer than a space's text, or not ours
    return facts if isinstance(facts, dict) else None
