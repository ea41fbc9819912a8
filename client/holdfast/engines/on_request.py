"""Doors that are imported when an engine asks for them by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def on_request(package: str, name: str, module: str) -> Callable[[str], Any]:
    """The `__getattr__` of `package`, which has `name` from `module`.

    That imports the engine's own modules; who wants the rest of the package only does without.
    """

    def find(asked: str) -> Any:
        if asked == name:
            return getattr(import_module(module), name)
        raise AttributeError(f"module {package!r} has no attribute {asked!r}")

    return find
