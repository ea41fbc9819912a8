"""Takes over blocks from the previous owners of this node's groups, and says when that is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import structlog

from holdfast_datanode.config import WorkersConfig
from holdfast_datanode.duties import Duties, Source, bitmap
from holdfast_datanode.native_node import BlockMover, SpaceTerms
from holdfast_datanode.view import View
from holdfast_datanode.workers.budget import Budget
from holdfast_datanode.workers.worker import Worker
from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import StaleEpoch
from holdfast_native import NativeError

_log = structlog.get_logger(__name__)
_MIB = 1 << 20
_REPORT_AGAIN_S = 3.0
"""A report may be lost, or come while other owners of the group are not done."""
_NEWER_MAP_S = 0.2
"""A report is refused while this node has not seen the newest map; that comes soon."""

Report = Callable[[int, list[int]], None]
"""(epoch of the map, groups taken over); raises HoldfastError."""


@dataclass
class _Pass:
    """One walk over what a previous owner holds of some groups."""

    source: Source
    groups: frozenset[int]
    cursor: int = 0
    blocks_taken: int = 0
    failed_in_a_row: int = 0
    next_step_at_s: float = 0.0
    down_since_s: float | None = None


class MoveWorker(Worker):
    """Empties the list of previous owners of every group that this node owns, in bounded time.

    A previous owner that is gone, or that cannot be read within the bounds of the configuration,
    is given up: what only it held is lost to the cache, and the group counts as taken over. Of
    blocks that are cut, chunks are taken over from the owner that left the row to this node only.
    """

    name: ClassVar[str] = "move"

    def __init__(
        self,
        blocks: BlockMover,
        view: View,
        ticket: Callable[[], bytes],
        report: Report,
        config: WorkersConfig,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._blocks = blocks
        self._view = view
        self._ticket = ticket
        self._report = report
        self._config = config
        self._monotonic_s = monotonic_s
        self._budget = Budget(config.move_mib_per_s * _MIB, monotonic_s)
        self._duties: Duties | None = None
        self._passes: dict[Source, _Pass] = {}
        self._taken: dict[Source, set[int]] = {}
        self._reported_at_s: dict[int, float] = {}
        self._report_at_s: float | None = None
        self._figures = {"blocks_taken": 0, "bytes_taken": 0, "groups_reported": 0, "given_up": 0}

    def status(self) -> dict[str, int]:
        """Blocks and bytes copied, groups reported, previous owners given up, groups pending."""
        duties = self._duties
        return self._figures | {"groups_pending": len(duties.pending) if duties else 0}

    def work(self) -> float | None:
        """One step of one pass, or one report."""
        duties = self._view.duties
        if duties is None:
            return None
        if duties is not self._duties:
            self._adopt(duties)
        now_s = self._monotonic_s()
        if self._report_at_s is not None and now_s >= self._report_at_s:
            self._report_taken(duties, now_s)
            return 0
        due = min(self._passes.values(), key=lambda each: each.next_step_at_s, default=None)
        if due is not None:
            rest_s = max(self._budget.rest_s(), due.next_step_at_s - now_s)
            if rest_s > 0:
                return rest_s
            self._step(duties, due, now_s)
            return 0
        return None if self._report_at_s is None else max(0.0, self._report_at_s - now_s)

    def _adopt(self, duties: Duties) -> None:
        """Starts passes for what is new; those under way go on without the groups that are over.

        A group that left and came back is begun anew: what was taken of it before is dropped, and
        what a node that is no longer its previous owner has of it may have been deleted since.
        """
        if self._duties is not None and self._duties.group_count != duties.group_count:
            # Groups were split: the old numbers name other blocks.
            self._passes, self._taken, self._reported_at_s = {}, {}, {}
        self._duties = duties
        self._report_at_s = self._monotonic_s()
        for source, pass_ in self._passes.items():
            pass_.groups &= duties.moves.get(source, frozenset())
        self._passes = {source: pass_ for source, pass_ in self._passes.items() if pass_.groups}
        self._taken = {
            s: taken & duties.moves[s] for s, taken in self._taken.items() if s in duties.moves
        }
        self._reported_at_s = {
            g: at_s for g, at_s in self._reported_at_s.items() if g in duties.pending
        }
        self._begin_passes(duties)

    def _begin_passes(self, duties: Duties) -> None:
        for source, groups in duties.moves.items():
            rest = groups - self._taken.setdefault(source, set())
            if rest and source not in self._passes:
                self._passes[source] = _Pass(source, frozenset(rest))

    def _step(self, duties: Duties, pass_: _Pass, now_s: float) -> None:
        spaces = self._spaces_of(pass_.source)
        if not spaces:
            self._finish(duties, pass_)
            return
        peer = duties.peers[pass_.source.peer]
        if peer.state is NodeState.OUT:
            self._give_up(duties, pass_, "it is out")
            return
        if peer.state is NodeState.DOWN:
            if pass_.down_since_s is None:
                pass_.down_since_s = now_s
            if now_s - pass_.down_since_s >= self._config.move_wait_down_s:
                self._give_up(duties, pass_, "it is down")
            else:
                pass_.next_step_at_s = now_s + self._config.move_retry_ms / 1000
            return
        pass_.down_since_s = None
        groups = np.zeros(duties.group_count, dtype=np.bool_)
        groups[[g for g in pass_.groups if g < duties.group_count]] = True
        try:
            cursor, blocks, nbytes = self._blocks.pull(
                peer.tcp_address,
                peer.id,
                self._ticket(),
                duties.group_count,
                bitmap(groups),
                pass_.cursor,
                self._config.move_step_mib * _MIB,
                self._config.move_step_deadline_ms,
                spaces,
            )
        except NativeError as error:
            self._note_failure(duties, pass_, error, now_s)
            return
        self._budget.spend(nbytes)
        self._figures["blocks_taken"] += blocks
        self._figures["bytes_taken"] += nbytes
        pass_.blocks_taken += blocks
        pass_.failed_in_a_row = 0
        pass_.cursor = cursor
        pass_.next_step_at_s = now_s
        if cursor == 0:
            _log.info(
                "taken over",
                peer=peer.id,
                place=pass_.source.place,
                owners=pass_.source.owners,
                groups=len(pass_.groups),
                blocks=pass_.blocks_taken,
            )
            self._finish(duties, pass_)

    def _spaces_of(self, source: Source) -> dict[int, SpaceTerms]:
        """The spaces of which this node takes over from the source."""
        cut = self._view.cut
        if source.owners:
            return {
                number: terms
                for number, terms in self._view.spaces.items()
                if number in cut and terms[4] == source.owners
            }
        return {
            number: terms
            for number, terms in self._view.spaces.items()
            if number not in cut and terms[4] > source.place
        }

    def _note_failure(self, duties: Duties, pass_: _Pass, error: NativeError, now_s: float) -> None:
        pass_.failed_in_a_row += 1
        pass_.next_step_at_s = now_s + self._config.move_retry_ms / 1000
        _log.warning("move step failed", peer=pass_.source.peer, error=str(error))
        if pass_.failed_in_a_row >= self._config.move_tries_max:
            self._give_up(duties, pass_, f"{pass_.failed_in_a_row} steps in a row failed")

    def _give_up(self, duties: Duties, pass_: _Pass, why: str) -> None:
        self._figures["given_up"] += 1
        _log.warning(
            "previous owner given up", peer=pass_.source.peer, groups=len(pass_.groups), why=why
        )
        self._finish(duties, pass_)

    def _finish(self, duties: Duties, pass_: _Pass) -> None:
        del self._passes[pass_.source]
        self._taken[pass_.source] |= pass_.groups & duties.moves[pass_.source]
        self._report_at_s = self._monotonic_s()
        # A changed map may have added groups to this source while the pass was under way.
        self._begin_passes(duties)

    def _report_taken(self, duties: Duties, now_s: float) -> None:
        waiting = {
            group
            for source, groups in duties.moves.items()
            for group in groups - self._taken[source]
        }
        taken = duties.pending - waiting
        ready = [
            group
            for group in sorted(taken)
            if now_s >= self._reported_at_s.get(group, -_REPORT_AGAIN_S) + _REPORT_AGAIN_S
        ]
        if ready:
            try:
                self._report(duties.epoch, ready)
            except StaleEpoch:
                self._report_at_s = now_s + _NEWER_MAP_S
                return
            self._reported_at_s |= dict.fromkeys(ready, now_s)
            self._figures["groups_reported"] += len(ready)
        first_s = min((self._reported_at_s[group] for group in taken), default=None)
        self._report_at_s = None if first_s is None else first_s + _REPORT_AGAIN_S
