"""What does not hold in a daemon's configuration, in words of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

_VALUE_CHARACTERS_MAX = 80
_SECRET = frozenset({"secret", "key"})
"""Fields whose value is not told."""
_MUST: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda context: f"at least {context['ge']}",
    "less_than_equal": lambda context: f"at most {context['le']}",
    "literal_error": lambda context: str(context["expected"]),
    "int_type": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "bool_type": lambda _: "true or false",
    "bool_parsing": lambda _: "true or false",
    "string_type": lambda _: "text in quotes",
    "path_type": lambda _: "a path, text in quotes",
    "string_pattern_mismatch": lambda _: "of the form host:port",
    "string_too_long": lambda context: f"text of at most {context['max_length']} characters",
    "tuple_type": lambda _: "a list in brackets",
    "model_type": lambda _: "a section of its own",
    "too_short": lambda context: f"a list of at least {context['min_length']}",
    "too_long": lambda context: f"a list of at most {context['max_length']}",
}
"""By pydantic's name of a fault: what the field must be."""


def config_faults(error: ValidationError) -> str:
    """Each fault by field, value and what it must be, joined by semicolons."""
    return "; ".join(_fault(found) for found in error.errors(include_url=False))


def _fault(found: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in found["loc"])
    kind = found["type"]
    if kind == "missing":
        return f"{field} is missing"
    if kind == "extra_forbidden":
        return f"{field} is no field of this file"
    if kind == "value_error":
        text = str(found["msg"]).removeprefix("Value error, ")
        # What several fields must hold together names them itself.
        together = isinstance(found["input"], Mapping)
        return text if together or not field else f"{field}: {text}"
    value = "set" if _SECRET & set(found["loc"]) else _shown(found["input"])
    must = _MUST.get(kind)
    if must is None:
        return f"{field} is {value}: {found['msg']}"
    return f"{field} is {value}, it must be {must(found.get('ctx', {}))}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    if len(text) > _VALUE_CHARACTERS_MAX:
        return f"{text[:_VALUE_CHARACTERS_MAX]}..."
    return text
