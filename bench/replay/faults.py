"""What happens to the cluster on the way: a data node and the metadata leader die and return."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import holdfast
from bench.replay.ledger import Ledger

KILL_NODE_AT = 0.35
RESTART_NODE_AT = 0.55
KILL_LEADER_AT = 0.65
RESTART_LEADER_AT = 0.80
IN_FLIGHT_AT_KILL = 16
LOOK_EVERY_S = 0.005
STEP_DEADLINE_S = 60.0


class Faults:
    """Kills and restarts daemons at set shares of the trace, by SIGKILL."""

    def __init__(self, local: holdfast.LocalCluster, ledger: Ledger) -> None:
        self._local = local
        self._ledger = ledger

    async def run(self) -> None:
        """Goes through the steps in order; ends with the last, or is cancelled with the replay."""
        node = self._local.data_nodes[len(self._local.data_nodes) // 2]
        await self._until(lambda: self._done() >= KILL_NODE_AT)
        await self._until(lambda: self._ledger.in_flight >= IN_FLIGHT_AT_KILL)
        self._ledger.data_node_killed = node.name
        self._ledger.data_node_killed_in_flight = self._ledger.in_flight
        node.kill()
        self._ledger.event(
            f"killed {node.name} with {self._ledger.data_node_killed_in_flight} requests in flight"
        )
        await self._until(lambda: self._done() >= RESTART_NODE_AT)
        node.start()
        self._ledger.event(f"started {node.name} again, empty")
        await self._until(lambda: self._done() >= KILL_LEADER_AT)
        leader = await asyncio.to_thread(self._local.leader)
        leader.kill()
        self._ledger.leader_killed = leader.name
        self._ledger.event(f"killed {leader.name}, the metadata leader")
        await self._until(lambda: self._done() >= RESTART_LEADER_AT)
        leader.start()
        self._ledger.event(f"started {leader.name} again")

    def _done(self) -> float:
        ledger = self._ledger
        return (ledger.requests_done + ledger.requests_failed) / ledger.requests_total

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Looks at the ledger until it says so; without progress for a minute it gives up."""
        before, since = self._done(), time.monotonic()
        while not condition():
            await asyncio.sleep(LOOK_EVERY_S)
            if self._done() != before:
                before, since = self._done(), time.monotonic()
            elif time.monotonic() - since > STEP_DEADLINE_S:
                raise TimeoutError(f"no request ended for {STEP_DEADLINE_S} s")
