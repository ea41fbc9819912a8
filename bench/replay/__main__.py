"""`python -m bench.replay`: a trace against a real cluster on this machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import holdfast
from bench.replay.faults import Faults
from bench.replay.fill_watch import FillWatch
from bench.replay.ledger import Ledger
from bench.replay.plan import Plan, PlanError, plan_for
from bench.replay.player import Player
from bench.replay.progress import Progress
from bench.replay.trace import Trace, TraceError
from holdfast_kvstore.redundancy import Redundancy

PIPE_COLUMNS = 88
"""Width of what is not written to a terminal."""
EXCERPT = Path(__file__).parent.parent / "trace_excerpt.jsonl"


def main() -> int:
    """0 when every block was right and no request was lost without an error."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    try:
        trace = Trace.load(arguments.trace)
        plan = plan_for(
            trace,
            block_kib=arguments.block_kib,
            arena_mib=arguments.arena_mib,
            kill=bool(arguments.kill),
            redundancy=Redundancy.parse(arguments.redundancy),
        )
    except (TraceError, PlanError, holdfast.InvalidArgument, OSError) as error:
        console.print(f"cannot replay: {error}", highlight=False)
        return 2
    ledger = Ledger(len(trace.requests), trace.prefix_blocks_possible(), plan.kill)
    _say_plan(console, trace, plan)
    with holdfast.local(plan.data_nodes, plan.metadata_nodes, plan.arena_mib) as local:
        asyncio.run(_replay(local, trace, plan, ledger, console))
    ledger.write(arguments.out)
    _say_summary(console, plan, ledger, arguments.out)
    return 0 if ledger.good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--trace", type=Path, default=EXCERPT, help="JSON lines with hash_ids")
    parser.add_argument("--block-kib", type=int, help="block size; by default what fits")
    parser.add_argument("--arena-mib", type=int, help="memory of each data node")
    parser.add_argument(
        "--redundancy", default="single", help='"single", "mirror:2", "ec:4+2": of the space'
    )
    parser.add_argument("--kill", type=int, default=1, choices=(0, 1), help="0: nobody dies")
    parser.add_argument("--out", type=Path, default=Path("build/run.json"))
    return parser.parse_args()


async def _replay(
    local: holdfast.LocalCluster, trace: Trace, plan: Plan, ledger: Ledger, console: Console
) -> None:
    done = asyncio.Event()
    watch = FillWatch(local)
    with local.connect() as cluster:
        space = cluster.space(
            "replay",
            block_bytes=plan.block_bytes,
            redundancy=str(plan.redundancy),
            create=True,
        )
        player = Player(space, trace, plan, ledger)
        beside = [
            asyncio.create_task(watch.watch_until(done)),
            asyncio.create_task(Progress(ledger, lambda: watch.fills, console).show_until(done)),
        ]
        faults = asyncio.create_task(Faults(local, ledger).run()) if plan.kill else None
        ledger.start()
        try:
            await player.play()
        finally:
            ledger.degraded_reads = cluster.stats()["stripes_computed"]
            done.set()
            await asyncio.gather(*beside)
            if faults is not None:
                faults.cancel()
                await asyncio.gather(faults, return_exceptions=True)


def _say_plan(console: Console, trace: Trace, plan: Plan) -> None:
    footprint = trace.distinct_blocks * plan.block_bytes / 1e9
    console.print(
        f"{len(trace.requests)} requests, {trace.distinct_blocks} distinct blocks of "
        f"{plan.block_bytes >> 10} KiB ({footprint:.1f} GB) on {plan.metadata_nodes} metadata "
        f"nodes and {plan.data_nodes} data nodes of {plan.arena_mib} MiB, {plan.redundancy}",
        highlight=False,
    )
    console.print("starting them, every page of their arenas is touched ...", highlight=False)


def _say_summary(console: Console, plan: Plan, ledger: Ledger, out: Path) -> None:
    table = Table("figure", "value", title="replay")
    for name, value in ledger.as_json().items():
        table.add_row(name, _shown(value))
    console.print(table)
    gone = ledger.blocks_matched - ledger.blocks_verified
    if gone > 0:
        console.print(
            f"{gone} blocks that match had found were not there any more when get asked for them "
            "(their node was killed between the two, or they were evicted): misses, put again",
            highlight=False,
        )
    if ledger.data_node_killed is not None and not plan.redundancy.failures:
        console.print(
            f"what lay on {ledger.data_node_killed} was lost with it (the space keeps single "
            "copies), and a prefix ends at its first missing block; KILL=0 finds every prefix",
            highlight=False,
        )
    if ledger.fault_missed:
        console.print("the trace was over before every node had been killed", style="red")
    if ledger.wrong_blocks:
        console.print(f"{ledger.wrong_blocks} blocks had wrong bytes", style="bold red")
    if ledger.requests_lost:
        console.print(f"{ledger.requests_lost} requests were lost without an error", style="red")
    console.print(f"written to {out}", highlight=False)


def _shown(value: object) -> str:
    """A figure for people."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return "none" if value is None else str(value)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        # Its cluster has ended with the block that holds it.
        raise SystemExit(130) from None
