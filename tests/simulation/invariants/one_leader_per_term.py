"""No term has two leaders."""

from __future__ import annotations

from holdfast_metanode.raft.seams import Standing


class OneLeaderPerTerm:
    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}

    def see(self, member_id: int, standing: Standing) -> None:
        if standing.leads:
            first = self.leaders.setdefault(standing.term, member_id)
            assert first == member_id, (
                f"members {first} and {member_id} both lead term {standing.term}"
            )
