"""Keys remembered for a time, at most so many of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

Key = tuple[int, bytes]
"""A block: its KV group and its key."""


class KnownKeys:
    """A bounded set whose members are forgotten after a time; the oldest make room."""

    def __init__(self, keys_max: int, seconds: float, clock: Callable[[], float]) -> None:
        self._keys_max = keys_max
        self._seconds = seconds
        self._clock = clock
        self._until: OrderedDict[Key, float] = OrderedDict()

    def add(self, key: Key) -> None:
        """Remembers `key` from now on."""
        self._until[key] = self._clock() + self._seconds
        self._until.move_to_end(key)
        while len(self._until) > self._keys_max:
            self._until.popitem(last=False)

    def discard(self, key: Key) -> None:
        """Forgets `key`."""
        self._until.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        self._until.clear()

    def __contains__(self, key: Key) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if until > self._clock():
            return True
        del self._until[key]
        return False

    def __len__(self) -> int:
        return len(self._until)
