"""Shows a replay while it runs: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from bench.replay.ledger import Ledger

INTERVAL_S = 0.5
LINES_EVERY = 6


@dataclass(frozen=True)
class NodeFill:
    """One data node as the metadata leader sees it."""

    name: str
    state: str
    used_bytes: int
    capacity_bytes: int


class Progress:
    """Reads the ledger on a timer; `fills` answers the nodes' latest fill and state."""

    def __init__(
        self, ledger: Ledger, fills: Callable[[], Sequence[NodeFill]], console: Console
    ) -> None:
        self._ledger = ledger
        self._fills = fills
        self._console = console
        self._events_shown = 0
        self._last = (0.0, 0)

    async def show_until(self, done: asyncio.Event) -> None:
        """Shows the state until `done` is set."""
        if not self._console.is_terminal:
            await self._lines(done)
            return
        with Live(self._table(), console=self._console, refresh_per_second=4) as live:
            while not await _is_set_within(done, INTERVAL_S):
                live.update(self._table())
            live.update(self._table())

    async def _lines(self, done: asyncio.Event) -> None:
        ticks = 0
        while not await _is_set_within(done, INTERVAL_S):
            ticks += 1
            self._say_events()
            if ticks % LINES_EVERY == 0:
                self.say_state()
        self._say_events()

    def say_state(self) -> None:
        """One line about the requests, one about the nodes."""
        self._say(self._headline())
        nodes = "  ".join(f"{fill.name} {fill.state} {_share(fill)}" for fill in self._fills())
        self._say(f"          {nodes}")

    def _say_events(self) -> None:
        """What happened since the last look, each once."""
        for event in self._ledger.events[self._events_shown :]:
            self._say(event)
            self._events_shown += 1

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, emoji=False, soft_wrap=True)

    def _headline(self) -> str:
        ledger = self._ledger
        seconds, moved = ledger.seconds, ledger.bytes_read + ledger.bytes_written
        rate = (moved - self._last[1]) / max(seconds - self._last[0], 1e-9) / 1e9
        self._last = (seconds, moved)
        return (
            f"{seconds:6.1f} s  {ledger.requests_done}/{ledger.requests_total}"
            f"  hit rate {ledger.hit_rate:.3f}  {rate:.2f} GB/s"
            f"  get p50 {ledger.get_quantile_ms(0.5):.1f} p99 {ledger.get_quantile_ms(0.99):.1f} ms"
        )

    def _table(self) -> Group:
        nodes = Table("data node", "state", "fill", box=None, pad_edge=False)
        for fill in self._fills():
            nodes.add_row(fill.name, fill.state, _share(fill))
        return Group(self._headline(), nodes, *self._ledger.events[-4:])


def _share(fill: NodeFill) -> str:
    if not fill.capacity_bytes:
        return "-"
    return f"{fill.used_bytes / fill.capacity_bytes:.0%}"


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
