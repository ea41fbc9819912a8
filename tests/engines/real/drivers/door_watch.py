"""What an engine process asks of Holdfast, seen at its doors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from holdfast._keys import Keys, PackedKeys
from holdfast._segments import Segments
from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.started import Started

_GO_S = 60.0


class DoorWatch:
    """Notes which keys were put, and can hold the next load until it is told to go on.

    Only the doors of this process: an engine with worker processes has its own.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self.puts: list[dict[str, Any]] = []
        """One for each put: space, keys (hexadecimal), position of the first."""
        self._tell = tell
        self._counters: list[Counters] = []
        self._holding = threading.Event()
        self._go = threading.Event()

    def install(self) -> None:
        """Every door of this process is watched from now on."""
        init, put, get = Door.__init__, Door.put, Door.get

        def watched_init(door: Door, *arguments: Any, **named: Any) -> None:
            init(door, *arguments, **named)
            if not any(door._counters is known for known in self._counters):
                self._counters.append(door._counters)

        def watched_put(
            door: Door, keys: Keys, segments: Segments, first_position: int = 0
        ) -> Started:
            told = {"space": door.name, "keys": _hex(keys), "first_position": first_position}
            self.puts.append(told)
            return put(door, keys, segments, first_position)

        def watched_get(door: Door, keys: Keys, segments: Segments) -> Started:
            held = self._holding.is_set()
            if held:
                self._holding.clear()
                self._tell({"event": "loading", "blocks": len(keys)})
                self._go.wait(_GO_S)
            started = get(door, keys, segments)
            if held:
                self._tell({"event": "started"})
            return started

        watched = {"__init__": watched_init, "put": watched_put, "get": watched_get}
        for name, method in watched.items():
            setattr(Door, name, method)

    def hold(self) -> None:
        """The next load tells "loading" before it starts, waits for `go`, and tells "started"."""
        self._go.clear()
        self._holding.set()

    def go(self) -> None:
        """Lets a held load go on."""
        self._go.set()

    def forget(self) -> None:
        """Starts anew: the engine was replaced."""
        self.puts.clear()
        self._counters.clear()

    def counters(self) -> dict[str, float]:
        """The sums of every counter object of this process."""
        sums: dict[str, float] = {}
        for counters in self._counters:
            for name, value in counters.totals().items():
                sums[name] = sums.get(name, 0) + value
        return sums


def _hex(keys: Keys) -> list[str]:
    if isinstance(keys, PackedKeys):
        keys = keys.as_array()
    return [bytes(key).hex() for key in keys]
