"""The addresses of metadata members, and which of them to ask next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock

from holdfast.errors import InvalidArgument

MEMBERS_MAX = 64
"""Addresses that are kept; a cluster has 5 members at most, the rest is history."""


class Members:
    """A rotating list: a member that fails makes place for the next. Safe between threads."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """Raises InvalidArgument if an address is not `host:port` or there is none."""
        self._lock = Lock()
        self._addresses: list[str] = []
        self._next = 0
        self.learn(addresses)
        if not self._addresses:
            raise InvalidArgument("no address of a metadata member was given")

    def current(self) -> str:
        """The member to ask now."""
        with self._lock:
            return self._addresses[self._next]

    def all(self) -> tuple[str, ...]:
        """Every address, in the order of first mention."""
        with self._lock:
            return tuple(self._addresses)

    def failed(self, address: str) -> None:
        """Goes on to the next member, unless another caller did so already."""
        with self._lock:
            if self._addresses[self._next] == address:
                self._next = (self._next + 1) % len(self._addresses)

    def prefer(self, address: str) -> None:
        """Asks `address` from now on."""
        self.learn([address])
        with self._lock:
            if address in self._addresses:
                self._next = self._addresses.index(address)

    def learn(self, addresses: Iterable[str]) -> None:
        """Adds addresses that are new; beyond `MEMBERS_MAX` they are ignored."""
        with self._lock:
            for address in addresses:
                check_address(address)
                if address not in self._addresses and len(self._addresses) < MEMBERS_MAX:
                    self._addresses.append(address)


def split_addresses(address: str | Sequence[str]) -> tuple[str, ...]:
    """Member addresses as a caller states them: a sequence, or text separated by commas."""
    parts = address.split(",") if isinstance(address, str) else address
    return tuple(part.strip() for part in parts if part.strip())


def check_address(address: str) -> None:
    """Raises InvalidArgument unless `address` is `host:port`."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise InvalidArgument(f"address {address!r} is not of the form host:port")
    if "/" in address:
        raise InvalidArgument(
            f"address {address!r} is not of the form host:port: leave out http:// and everything "
            "else with a slash"
        )
