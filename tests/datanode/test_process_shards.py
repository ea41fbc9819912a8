"""Chunks of cut blocks follow the map between real data nodes: each to its own successor.

The test writes and reads each node's chunks by itself, through the block protocol: a client that
believes that one node owns everything. Every node holds other bytes under the same keys, so that a
chunk that came from the wrong node is seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pytest

from holdfast._session import Session, Target, _native_nodes
from holdfast._space import Space
from holdfast._space_binding import SpaceBinding
from holdfast.local_cluster.local_cluster import LocalCluster
from holdfast_kvstore.map_codec import decode_map
from holdfast_proto import meta_pb2 as pb
from tests.datanode.process_rig import Blocks, ProcessRig, layout
from tests.datanode.waiting import wait_for

pytestmark = pytest.mark.process
SPACE, BLOCK_BYTES, SHARDS = "cut", 64 << 10, 3
KEYS = [f"block {number}".encode() for number in range(120)]


class OneNode(Session):
    """Sees one data node as the only owner, and chunks as its blocks."""

    def __init__(self, target: Target, node: int) -> None:
        self._only = node
        super().__init__(target)

    def install_map(self, reply: pb.MapReply) -> None:
        if not reply.map:
            return
        value = decode_map(reply.map)
        owners = np.full((value.group_count, 1), value.slot_of(self._only), dtype=np.int32)
        self.native.set_map(
            epoch=value.epoch,
            group_count=value.group_count,
            width=1,
            owners=owners.data,
            previous=np.full_like(owners, -1).data,
            nodes=_native_nodes(value),
        )
        self._map_width = value.width

    def _bind(self, binding: SpaceBinding, ticket: bytes) -> None:
        binding.info.block_bytes = binding.redundancy.chunk_bytes(binding.info.block_bytes)
        binding.info.redundancy = "single"
        super()._bind(binding, ticket)


@contextmanager
def space_on(rig: ProcessRig, node: int) -> Iterator[Space]:
    with rig.local.connect(transport="tcp") as cluster:
        session = cluster._session = OneNode(cluster._target, node)
        request = pb.OpenSpaceRequest(
            name=SPACE, create=True, block_bytes=BLOCK_BYTES, redundancy="ec:2+1"
        )
        yield Space(session, session.open_space(request))


def chunk(node: int, key: bytes, nbytes: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_128(b"%d %s" % (node, key)).digest(nbytes), dtype=np.uint8)


def write(rig: ProcessRig, node: int) -> None:
    with space_on(rig, node) as space:
        content = np.stack([chunk(node, key, space.block_bytes) for key in KEYS])
        assert space.put(KEYS, space.register(content).blocks()).kept == len(KEYS)


def origins(rig: ProcessRig, node: int, writers: list[int]) -> dict[bytes, int]:
    """Of each chunk that a node holds, the node that it was written to."""
    with space_on(rig, node) as space:
        content = np.zeros((len(KEYS), space.block_bytes), dtype=np.uint8)
        hits = np.asarray(space.get(KEYS, space.register(content).blocks()).hit_mask)
        found = {}
        for at in np.flatnonzero(hits).tolist():
            (found[KEYS[at]],) = (
                writer
                for writer in writers
                if np.array_equal(content[at], chunk(writer, KEYS[at], space.block_bytes))
            )
    return found


def check_whole(rig: ProcessRig, nodes: list[int], writers: list[int]) -> None:
    """Every block has each of its chunks once, each on a node of its own."""
    wait_for(lambda: sum(rig.node(node).load.blocks for node in nodes) == SHARDS * len(KEYS))
    held = Counter(
        (key, writer) for node in nodes for key, writer in origins(rig, node, writers).items()
    )
    assert held == Counter((key, writer) for key in KEYS for writer in writers)


def test_each_chunk_moves_to_the_one_node_that_took_its_place() -> None:
    with LocalCluster(layout(data_nodes=SHARDS)) as local:
        rig = ProcessRig(local)
        writers = [rig.node_id(daemon) for daemon in local.data_nodes]
        for node in writers:
            write(rig, node)
        check_whole(rig, writers, writers)

        joined = rig.node_id(rig.add_node("data-x"))
        wait_for(lambda: rig.node(joined).groups > 0)
        rig.wait_until_settled()
        check_whole(rig, [*writers, joined], writers)
        assert origins(rig, joined, writers)

        leaving = writers[0]
        local.admin.drain_node(leaving)
        wait_for(lambda: rig.node(leaving).groups == 0)
        rig.wait_until_settled()
        check_whole(rig, [*writers[1:], joined], writers)
        wait_for(lambda: rig.node(leaving).load.blocks == 0)


def test_cut_blocks_are_read_through_a_join_a_drain_and_the_loss_of_a_node() -> None:
    with (
        LocalCluster(layout(data_nodes=SHARDS)) as local,
        local.connect(transport="tcp") as cluster,
    ):
        rig = ProcessRig(local)
        blocks = Blocks(cluster, len(KEYS), "ec:2+1")
        assert blocks.put() == len(KEYS)
        old = [rig.node_id(daemon) for daemon in local.data_nodes]
        joined = rig.node_id(rig.add_node("data-x"))
        wait_for(lambda: rig.node(joined).groups > 0)
        assert blocks.found() == len(KEYS)
        rig.wait_until_settled()

        local.admin.drain_node(old[0])
        wait_for(lambda: rig.node(old[0]).groups == 0)
        rig.wait_until_settled()
        left = [*old[1:], joined]
        wait_for(lambda: [rig.node(n).load.blocks for n in left] == [len(KEYS)] * SHARDS)
        assert blocks.found() == len(KEYS)

        local.data_nodes[1].kill()
        wait_for(lambda: blocks.found() == len(KEYS))
        (survival,) = local.admin.status().survivals
        assert (survival.redundancy, survival.placed, survival.hosts) == ("ec:2+1", SHARDS, 1)
