"""Writes the small part of TOML that the daemons' configurations need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Value = str | int | float | bool | Path | list[str] | list[dict[str, str | int]]


def toml_text(values: Mapping[str, Value | Mapping[str, Value]]) -> str:
    """Plain values first, then one table for each nested mapping, in their order."""
    plain = [f"{key} = {_one(value)}" for key, value in values.items() if not _is_table(value)]
    for key, table in values.items():
        if isinstance(table, Mapping):
            plain += ["", f"[{key}]", *(f"{name} = {_one(value)}" for name, value in table.items())]
    return "\n".join(plain) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _one(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_one(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_one(item)}" for key, item in value.items()) + " }"
    # A JSON string is a TOML basic string, but for the delete character, which no path here has.
    return json.dumps(str(value), ensure_ascii=False)
