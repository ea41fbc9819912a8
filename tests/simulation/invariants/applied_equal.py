"""Members apply the same entries in the same order, with the same results."""

from __future__ import annotations

from holdfast_metanode.state.machine import Applied


class AppliedEqual:
    def __init__(self) -> None:
        self.entries: dict[int, tuple[int, bytes, bytes]] = {}

    def see(self, member_id: int, entry: Applied, result: bytes) -> None:
        # A member that lost its state applies entries again: to the same effect.
        found = (entry.term, entry.data, result)
        first = self.entries.setdefault(entry.index, found)
        assert first == found, f"member {member_id} applied another entry at {entry.index}"
