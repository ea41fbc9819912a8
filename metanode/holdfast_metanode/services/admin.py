"""What operators ask: tenants, data nodes, members. Callers know the cluster's secret."""

from __future__ import annotations

import os
from typing import Any

from holdfast_kvstore.errors import InvalidArgument
from holdfast_metanode import api_keys
from holdfast_metanode.membership import add_member, remove_member, transfer_leader
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.services.node_checks import check_drain
from holdfast_metanode.services.node_info import member_statuses, node_info, node_infos
from holdfast_metanode.services.survivals import Survivals
from holdfast_metanode.state.levels import LEVEL_MAX
from holdfast_metanode.state.view import tenant_info
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import AdminServicer


class AdminService(AdminServicer):
    """Changes go through the leader; lists are read at a confirmed read point on any member."""

    def __init__(self, member: MemberContext) -> None:
        self._member = member
        self._survivals = Survivals()

    async def Status(self, request: meta.StatusRequest, context: Any) -> meta.StatusReply:
        # Answers without a leader too: that is when it is needed most.
        member = self._member
        standing = member.host.standing
        with member.machine.view() as view:
            counters, registered = view.counters(), view.members()
            founded = view.founded()
            cluster = view.cluster() if founded else records.ClusterRecord()
            cluster_map = view.map() if founded else None
            survivals = self._survivals.of(view) if founded else []
        levels = [found.level_max for found in registered] or [LEVEL_MAX]
        return meta.StatusReply(
            cluster_id=cluster.cluster_id,
            epoch=cluster_map.epoch if cluster_map else 0,
            group_count=cluster_map.group_count if cluster_map else 0,
            leader_id=standing.leader or 0,
            term=standing.term,
            commit_index=member.host.status.commit,
            applied_index=standing.applied,
            level=cluster.level,
            level_max=min(levels),
            members=member_statuses(member),
            nodes=node_infos(member, cluster_map) if cluster_map else [],
            tenants=counters.tenants,
            spaces=counters.spaces,
            log_syncs=member.host.log_syncs,
            commands_applied=counters.commands,
            survivals=survivals,
        )

    # ------------------------------------------------------------------------ tenants

    async def CreateTenant(
        self, request: meta.CreateTenantRequest, context: Any
    ) -> meta.CreateTenantReply:
        key, stored = self._new_key(request.name, request.client_id, request.sequence)
        command = records.Command(
            create_tenant=records.CreateTenant(
                name=request.name, limit_bytes=request.limit_bytes, key=stored
            )
        )
        result = await self._propose(command, request)
        return meta.CreateTenantReply(tenant=tenant_info(result.tenant), api_key=key)

    async def RotateKey(self, request: meta.TenantRequest, context: Any) -> meta.CreateTenantReply:
        key, stored = self._new_key(request.name, request.client_id, request.sequence)
        command = records.Command(rotate_key=records.RotateKey(name=request.name, key=stored))
        result = await self._propose(command, request)
        return meta.CreateTenantReply(tenant=tenant_info(result.tenant), api_key=key)

    def _new_key(self, tenant: str, client_id: bytes, sequence: int) -> tuple[str, records.KeyHash]:
        nonce = client_id + sequence.to_bytes(8, "big") if client_id else os.urandom(32)
        key = api_keys.derive_key(self._member.secret, tenant, nonce)
        return key, api_keys.hash_key(key, os.urandom(api_keys.SALT_BYTES))

    async def RevokeOldKeys(self, request: meta.TenantRequest, context: Any) -> meta.TenantReply:
        command = records.Command(revoke_old_keys=records.RevokeOldKeys(name=request.name))
        result = await self._propose(command, request)
        return meta.TenantReply(tenant=tenant_info(result.tenant))

    async def DeleteTenant(self, request: meta.TenantRequest, context: Any) -> meta.TenantReply:
        command = records.Command(delete_tenant=records.DeleteTenant(name=request.name))
        result = await self._propose(command, request)
        return meta.TenantReply(tenant=tenant_info(result.tenant))

    async def ListTenants(
        self, request: meta.ListTenantsRequest, context: Any
    ) -> meta.ListTenantsReply:
        await self._member.gateway.read_point()
        with self._member.machine.view() as view:
            return meta.ListTenantsReply(tenants=[tenant_info(found) for found in view.tenants()])

    # ------------------------------------------------------------------------ data nodes

    async def ListNodes(self, request: meta.ListNodesRequest, context: Any) -> meta.ListNodesReply:
        await self._member.gateway.read_point()
        with self._member.machine.view() as view:
            cluster_map = view.map()
        return meta.ListNodesReply(
            nodes=node_infos(self._member, cluster_map), epoch=cluster_map.epoch
        )

    async def DrainNode(self, request: meta.NodeRequest, context: Any) -> meta.NodeReply:
        self._member.require_leader()
        with self._member.machine.view() as view:
            check_drain(view.map(), request.node)
        command = records.Command(drain_node=records.DrainNode(node=request.node))
        return await self._change_node(command, request)

    async def UndrainNode(self, request: meta.NodeRequest, context: Any) -> meta.NodeReply:
        command = records.Command(undrain_node=records.UndrainNode(node=request.node))
        return await self._change_node(command, request)

    async def RemoveNode(self, request: meta.NodeRequest, context: Any) -> meta.NodeReply:
        command = records.Command(
            remove_node=records.RemoveNode(node=request.node, force=request.force)
        )
        await self._propose(command, request)
        return meta.NodeReply(node=meta.NodeInfo(id=request.node))

    async def SetNodeWeight(self, request: meta.NodeRequest, context: Any) -> meta.NodeReply:
        command = records.Command(
            set_weight=records.SetWeight(node=request.node, weight=whole_weight(request.weight))
        )
        return await self._change_node(command, request)

    async def _change_node(
        self, command: records.Command, request: meta.NodeRequest
    ) -> meta.NodeReply:
        await self._propose(command, request)
        with self._member.machine.view() as view:
            return meta.NodeReply(node=node_info(self._member, view.map(), request.node))

    async def SplitGroups(self, request: meta.SplitGroupsRequest, context: Any) -> meta.MapReply:
        command = records.Command(split_groups=records.SplitGroups(factor=request.factor))
        await self._propose(command, request)
        with self._member.machine.view() as view:
            return meta.MapReply(epoch=view.epoch(), map=view.map_bytes())

    # ------------------------------------------------------------------------ members

    async def AddMember(self, request: meta.MemberRequest, context: Any) -> meta.MemberReply:
        self._member.require_leader()
        await add_member(self._member, request)
        return meta.MemberReply(members=member_statuses(self._member))

    async def RemoveMember(self, request: meta.MemberRequest, context: Any) -> meta.MemberReply:
        self._member.require_leader()
        await remove_member(self._member, request.id)
        return meta.MemberReply(members=member_statuses(self._member))

    async def TransferLeader(self, request: meta.MemberRequest, context: Any) -> meta.MemberReply:
        self._member.require_leader()
        await transfer_leader(self._member, request.id)
        return meta.MemberReply(members=member_statuses(self._member))

    async def RaiseLevel(self, request: meta.RaiseLevelRequest, context: Any) -> meta.StatusReply:
        self._member.require_leader()
        command = records.Command(raise_level=records.RaiseLevel(level=request.level))
        await self._member.gateway.propose(command)
        return await self.Status(meta.StatusRequest(), context)

    async def _propose(self, command: records.Command, request: Any) -> records.Result:
        self._member.require_leader()
        return await self._member.gateway.propose(command, request.client_id, request.sequence)


def whole_weight(weight: float) -> int:
    """A weight as the map counts it. Raises InvalidArgument."""
    if not (0 <= weight < 2**32 and weight == int(weight)):
        raise InvalidArgument(f"weight is {weight}, it must be a whole number of 0 to {2**32 - 1}")
    return int(weight)
