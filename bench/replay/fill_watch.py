"""Asks the metadata cluster how full the data nodes are, beside the replay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import holdfast
from bench.replay.progress import NodeFill
from holdfast_proto import meta_pb2 as pb

INTERVAL_S = 1.0
_STATES = {
    pb.NODE_STATE_UP: "up",
    pb.NODE_STATE_DOWN: "down",
    pb.NODE_STATE_OUT: "out",
    pb.NODE_STATE_DRAINING: "draining",
}


class FillWatch:
    """Keeps the last answer; while nobody leads, the last one stays."""

    def __init__(self, local: holdfast.LocalCluster) -> None:
        self._local = local
        self._fills: Sequence[NodeFill] = ()

    @property
    def fills(self) -> Sequence[NodeFill]:
        return self._fills

    async def watch_until(self, done: asyncio.Event) -> None:
        """Asks every second until `done` is set."""
        while not done.is_set():
            try:
                reply = await asyncio.to_thread(self._local.admin.list_nodes)
            except holdfast.HoldfastError:
                pass
            else:
                self._fills = [_fill(node) for node in reply.nodes]
            try:
                await asyncio.wait_for(done.wait(), INTERVAL_S)
            except TimeoutError:
                continue


def _fill(node: pb.NodeInfo) -> NodeFill:
    return NodeFill(
        name=node.host or str(node.id),
        state=_STATES.get(node.state, "?"),
        used_bytes=node.load.used_bytes,
        capacity_bytes=node.load.capacity_bytes,
    )
