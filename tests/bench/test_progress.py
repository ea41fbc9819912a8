"""What a replay prints while it runs, where nobody watches a terminal."""

from __future__ import annotations

import asyncio
import io

from rich.console import Console

from bench.replay.ledger import Ledger
from bench.replay.progress import NodeFill, Progress


def test_each_event_is_printed_once_also_the_last() -> None:
    ledger = Ledger(requests_total=2, prefix_blocks_possible=0)
    ledger.event("killed data-3")
    file = io.StringIO()

    async def show() -> None:
        done = asyncio.Event()
        shown = asyncio.create_task(Progress(ledger, list, Console(file=file)).show_until(done))
        ledger.event("started data-3 again")
        done.set()
        await shown

    asyncio.run(show())
    assert file.getvalue().count("killed data-3") == 1
    assert file.getvalue().count("started data-3 again") == 1


def test_lines_of_four_nodes_fit_in_88_columns() -> None:
    ledger = Ledger(requests_total=1500, prefix_blocks_possible=0, requests_done=1500)
    ledger.get_times_s.append(0.1234)
    file = io.StringIO()
    states = ("up", "up", "down", "draining")
    fills = [NodeFill(f"data-{number}", state, 9, 9) for number, state in enumerate(states, 1)]
    progress = Progress(ledger, lambda: fills, Console(file=file))
    progress.say_state()
    assert len(file.getvalue().splitlines()) == 2
    assert max(map(len, file.getvalue().splitlines())) <= 88
