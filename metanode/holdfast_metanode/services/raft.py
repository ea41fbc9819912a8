"""What metadata members say to each other: Raft messages, checkpoints, entering the cluster."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

from holdfast_kvstore.errors import WrongCluster
from holdfast_metanode.membership import add_member
from holdfast_metanode.raft.requests import Received
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.services.node_info import member_statuses
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import RaftServicer


class RaftService(RaftServicer):
    """Callers know the cluster's secret."""

    def __init__(self, member: MemberContext) -> None:
        self._member = member

    async def Exchange(
        self, request_iterator: AsyncIterator[meta.RaftBatch], context: Any
    ) -> meta.RaftDone:
        own = self._cluster_id()
        async for batch in request_iterator:
            own = own or self._cluster_id()
            # Before the cluster is founded its members have no id yet.
            if own and batch.cluster_id and batch.cluster_id != own:
                raise WrongCluster(batch.cluster_id.hex(), own.hex())
            self._member.host.submit(Received(list(batch.messages)))
        return meta.RaftDone()

    def _cluster_id(self) -> bytes:
        with self._member.machine.view() as view:
            return view.cluster().cluster_id if view.founded() else b""

    async def FetchSnapshot(
        self, request: meta.FetchSnapshotRequest, context: Any
    ) -> AsyncIterator[meta.SnapshotPiece]:
        own = self._cluster_id()
        if request.cluster_id and request.cluster_id != own:
            raise WrongCluster(request.cluster_id.hex(), own.hex())
        pieces = self._member.store.pieces(request.index)
        newest = self._member.store.newest_checkpoint()
        term = newest.term if newest and newest.index == request.index else 0
        offset = 0
        piece = await asyncio.to_thread(next, pieces, b"")
        while piece:
            following = await asyncio.to_thread(next, pieces, b"")
            yield meta.SnapshotPiece(
                index=request.index,
                term=term,
                offset=offset,
                bytes=piece,
                crc32=zlib.crc32(piece),
                last=not following,
            )
            offset += len(piece)
            piece = following

    async def JoinMember(self, request: meta.MemberRequest, context: Any) -> meta.JoinMemberReply:
        self._member.require_leader()
        await add_member(self._member, request)
        return meta.JoinMemberReply(
            cluster_id=self._cluster_id(), members=member_statuses(self._member)
        )
