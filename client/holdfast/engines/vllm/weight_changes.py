"""Notices that an engine's weights are replaced while it runs; vLLM has no hook for that."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakMethod

from vllm.v1.worker.gpu_worker import Worker

_CHANGING = ("reload_weights", "update_weights", "finish_weight_update", "reset_weights")
"""Methods of vLLM's worker that leave other weights behind, on every platform."""
_listeners: list[WeakMethod[Callable[[], None]]] = []


def watch_weights(changed: Callable[[], None]) -> None:
    """Calls the bound method `changed` whenever this process's weights were replaced, for as long
    as its object lives."""
    if not _listeners:
        for name in _CHANGING:
            method = getattr(Worker, name, None)
            if method is not None:
                setattr(Worker, name, _telling(method))
    _listeners.append(WeakMethod(changed))


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def telling(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        finally:
            # Also if it failed: some of the weights may be others by then.
            for listener in _listeners:
                changed = listener()
                if changed is not None:
                    changed()

    return telling
