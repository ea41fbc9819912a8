"""The members' network: a member that went away is reached again when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
import grpc.aio

from holdfast_kvstore.secret import Secret
from holdfast_metanode.clock import SystemClock
from holdfast_metanode.raft.channels import OPTIONS, Channels
from holdfast_metanode.raft.peers import PeerNetwork
from holdfast_metanode.raft.requests import Item, Unreachable
from holdfast_metanode.raft.roster import Roster
from holdfast_native import RaftMessage
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import RaftServicer, add_RaftServicer_to_server
from tests.metanode.member_processes import free_ports

MEMBERS = range(2, 34)
"""As many streams to one listener: what happens to one in fifty happens in every run."""
RESTARTS = 8
DEADLINE_S = 20


class _Listener(RaftServicer):
    """Another member, as far as its network goes."""

    def __init__(self) -> None:
        self.all_heard = asyncio.Event()
        self._missing = set(MEMBERS)

    async def Exchange(
        self, request_iterator: AsyncIterator[meta.RaftBatch], context: Any
    ) -> meta.RaftDone:
        async for batch in request_iterator:
            self._missing -= {RaftMessage.parse(data).to for data in batch.messages}
            if not self._missing:
                self.all_heard.set()
        return meta.RaftDone()

    def FetchSnapshot(self, request: meta.FetchSnapshotRequest, context: Any) -> NoReturn:
        raise AssertionError("nobody lags here")

    def JoinMember(self, request: meta.MemberRequest, context: Any) -> NoReturn:
        raise AssertionError("nobody joins here")


async def _listen(port: int) -> tuple[grpc.aio.Server, _Listener]:
    server = grpc.aio.server(options=OPTIONS)
    listener = _Listener()
    add_RaftServicer_to_server(listener, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, listener


def _heartbeat(member: int) -> RaftMessage:
    """From member 1 in term 1 (tikv/raft, eraftpb.Message)."""
    return RaftMessage.parse(bytes([0x08, 8, 0x10, member, 0x18, 1, 0x20, 1]))


async def _chatter(network: PeerNetwork, enough: asyncio.Event) -> None:
    """Sends at every turn of the loop, so that some message meets every state of the stream."""
    loop = asyncio.get_running_loop()
    messages = [_heartbeat(member) for member in MEMBERS]
    while not enough.is_set():
        network.send(messages)
        next_turn = loop.create_future()
        loop.call_soon(next_turn.set_result, None)
        await next_turn


async def _restart_while_sending() -> list[Item]:
    (port,) = free_ports(1)
    reports: list[Item] = []
    network = PeerNetwork(
        1,
        Roster(dict.fromkeys(MEMBERS, f"127.0.0.1:{port}")),
        Channels(Secret(b"s" * 32), SystemClock(), None),
        lambda: b"",
        reports.append,
        asyncio.get_running_loop(),
    )
    enough = asyncio.Event()
    chatter = asyncio.create_task(_chatter(network, enough))
    try:
        for _ in range(RESTARTS):
            server, listener = await _listen(port)
            try:
                await asyncio.wait_for(listener.all_heard.wait(), DEADLINE_S)
            finally:
                await server.stop(None)
    finally:
        enough.set()
        await chatter
        await network.close()
    return reports


def test_member_that_restarts_is_reached_again_whatever_the_stream_was_doing() -> None:
    reports = asyncio.run(_restart_while_sending())
    assert {Unreachable(member) for member in MEMBERS} <= set(reports)
