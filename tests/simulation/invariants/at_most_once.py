"""A command that is logged several times takes effect once, and has one result."""

from __future__ import annotations

from holdfast_metanode.state.machine import Applied
from holdfast_proto import command_pb2 as records


class AtMostOnce:
    def __init__(self) -> None:
        self.results: dict[tuple[bytes, int], bytes] = {}
        self.repeated = 0
        self._seen: set[int] = set()

    def see(self, entry: Applied, result: bytes) -> None:
        if not entry.data or entry.index in self._seen:
            return
        self._seen.add(entry.index)
        command = records.Command.FromString(entry.data)
        if not command.client_id:
            return
        key = (command.client_id, command.sequence)
        self.repeated += key in self.results
        first = self.results.setdefault(key, result)
        assert first == result, f"command {key} was answered in two ways"
