"""What data nodes ask: join, heartbeats, moves, the view that they serve by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import FailedPrecondition, NotFound, WrongCluster
from holdfast_kvstore.tickets import key_id
from holdfast_metanode.services.admin import whole_weight
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.state.view import space_info, tenant_info
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import MembershipServicer

_PUSH_INTERVAL_S = 0.02


class MembershipService(MembershipServicer):
    """Heartbeats and joins go to the leader; the view may be watched on any member."""

    def __init__(self, member: MemberContext) -> None:
        self._member = member
        self._built = meta.NodeView()

    async def Join(self, request: meta.JoinRequest, context: Any) -> meta.JoinReply:
        member = self._member
        member.require_leader()
        with member.machine.view() as view:
            cluster_id = view.cluster().cluster_id
        if request.cluster_id and request.cluster_id != cluster_id:
            raise WrongCluster(request.cluster_id.hex(), cluster_id.hex())
        command = records.Command(
            join_node=records.JoinNode(
                id=request.id,
                incarnation=request.incarnation,
                tcp_address=request.tcp_address,
                unix_path=request.unix_path,
                boot_id=request.boot_id,
                host=request.host,
                rack=request.rack,
                weight=whole_weight(request.weight) or 1,
                capacity_bytes=request.capacity_bytes,
            )
        )
        result = await member.gateway.propose(command)
        node_id = result.node.id
        load = meta.NodeLoad(capacity_bytes=request.capacity_bytes)
        member.detector.expect(node_id, request.incarnation, load, member.clock.monotonic_ms())
        return meta.JoinReply(
            id=node_id,
            cluster_id=cluster_id,
            heartbeat_interval_ms=member.config.nodes.heartbeat_interval_ms,
            member_addresses=member.roster.addresses(),
        )

    async def Heartbeat(self, request: meta.HeartbeatRequest, context: Any) -> meta.HeartbeatReply:
        member = self._member
        member.require_leader()
        with member.machine.view() as view:
            cluster_map = view.map()
        try:
            node = cluster_map.node(request.id)
        except NotFound:
            return meta.HeartbeatReply(epoch=cluster_map.epoch, unknown=True)
        known = node.incarnation == request.incarnation and node.state is not NodeState.OUT
        if known:
            now_ms = member.clock.monotonic_ms()
            member.detector.hear(node.id, node.incarnation, request.load, now_ms)
        return meta.HeartbeatReply(epoch=cluster_map.epoch, unknown=not known)

    async def Leave(self, request: meta.LeaveRequest, context: Any) -> meta.LeaveReply:
        # It stops in order, probably to come back: not asked from now on, groups as they are.
        self._member.require_leader()
        command = records.Command(
            set_node_state=records.SetNodeState(
                node=request.id,
                incarnation=request.incarnation,
                state=meta.NODE_STATE_DOWN,
            )
        )
        await self._member.gateway.propose(command)
        self._member.detector.left(request.id)
        return meta.LeaveReply()

    async def MovesDone(self, request: meta.MovesDoneRequest, context: Any) -> meta.MovesDoneReply:
        self._member.require_leader()
        command = records.Command(
            moves_done=records.MovesDone(
                node=request.id,
                incarnation=request.incarnation,
                epoch=request.epoch,
                groups=request.groups,
            )
        )
        result = await self._member.gateway.propose(command)
        return meta.MovesDoneReply(epoch=result.map.epoch)

    async def WatchNode(
        self, request: meta.WatchNodeRequest, context: Any
    ) -> AsyncIterator[meta.NodeView]:
        hub = self._member.hub
        await self._member.gateway.read_point()
        sent = request.known_version
        while True:
            view = self._view()
            if view.version > sent:
                sent = view.version
                yield view
                # Bursts of changes go out together.
                await asyncio.sleep(_PUSH_INTERVAL_S)
            elif hub.version >= view.version:
                await hub.changed()
            else:
                hub.poke()

    def _view(self) -> meta.NodeView:
        """The newest view; built once for all that watch."""
        with self._member.machine.view() as view:
            counters = view.counters()
            version = counters.view_version
            if version == self._built.version:
                return self._built
            cluster_map = view.map()
            self._built = meta.NodeView(
                version=version,
                epoch=cluster_map.epoch,
                map=view.map_bytes(),
                spaces=[space_info(record) for record in view.spaces()],
                ticket_keys=[
                    meta.TicketKey(key_id=key_id(key), public_key=key)
                    for key in cluster_map.ticket_keys
                ],
                tenants=[tenant_info(record) for record in view.tenants()],
                space_last=counters.space_last,
            )
        return self._built

    async def PeerTicket(self, request: meta.PeerTicketRequest, context: Any) -> meta.Ticket:
        with self._member.machine.view() as view:
            node, cluster = view.map().node(request.id), view.cluster()
        if node.incarnation != request.incarnation:
            raise FailedPrecondition(
                f"node {node.id} is at incarnation {node.incarnation}, not {request.incarnation}: "
                "join again"
            )
        return self._member.tickets.for_node(cluster, node.id)
