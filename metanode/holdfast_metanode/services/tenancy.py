"""What tenants ask: who am I, spaces, the cluster map."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from holdfast_kvstore.errors import NotFound, Unauthenticated, Unavailable
from holdfast_kvstore.redundancy import Redundancy
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode import api_keys
from holdfast_metanode.commands import create_space
from holdfast_metanode.services.guard import TENANT_CALLER
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.services.survivals import survival_info
from holdfast_metanode.state.shard_room import has_places
from holdfast_metanode.state.view import StateView, space_info
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import TenancyServicer


class TenancyService(TenancyServicer):
    """Every call is made in the name of the tenant whose key it carries."""

    def __init__(self, member: MemberContext) -> None:
        self._member = member

    async def Authenticate(
        self, request: meta.AuthenticateRequest, context: Any
    ) -> meta.AuthenticateReply:
        await self._member.gateway.read_point()
        with self._member.machine.view() as view:
            tenant, cluster = _caller(view), view.cluster()
        return meta.AuthenticateReply(
            cluster_id=cluster.cluster_id,
            tenant_number=tenant.number,
            ticket=self._member.tickets.for_tenant(cluster, tenant.number),
            member_addresses=self._member.roster.addresses(),
        )

    async def OpenSpace(self, request: meta.OpenSpaceRequest, context: Any) -> meta.OpenSpaceReply:
        record = None
        if not (request.create and await self._is_absent_here(request.name)):
            # What is here may be gone elsewhere: look again at a confirmed read point.
            await self._member.gateway.read_point()
            with self._member.machine.view() as view:
                tenant = _caller(view)
                record = view.find_space(tenant.number, request.name)
                if record is None and not request.create:
                    record = view.space(tenant, request.name)  # raises
        created = record is None
        if record is None:
            record = await self._create(request)
        spec = SpaceSpec.decode(record.spec)
        spec.check_matches(
            block_bytes=request.block_bytes or None,
            fingerprint=request.fingerprint if request.create or request.fingerprint else None,
            redundancy=Redundancy.parse(request.redundancy) if request.redundancy else None,
        )
        await self._wait_placed(spec, created=created)
        with self._member.machine.view() as view:
            cluster, cluster_map = view.cluster(), view.map()
        return meta.OpenSpaceReply(
            space=space_info(record, spec),
            ticket=self._member.tickets.for_space(cluster, spec),
            survival=survival_info(cluster_map, spec.redundancy) if created else None,
        )

    async def _wait_placed(self, spec: SpaceSpec, *, created: bool) -> None:
        """Until groups have owners at all places of the space; most have them already.

        Before that a caller would put blocks to fewer owners than they are to have. A new space of
        shards also waits for nodes that have just joined, to say what it survives. Raises
        Unavailable.
        """
        all_up = created and spec.redundancy.is_cut
        try:
            async with asyncio.timeout(self._member.config.raft.command_deadline_ms / 1000):
                while not self._is_placed(spec, all_up):
                    await self._member.hub.changed()
        except TimeoutError:
            raise Unavailable(
                f"space {spec.name!r} is there, but no groups have owners for its "
                f"{spec.redundancy} yet: open it again in a moment"
            ) from None

    def _is_placed(self, spec: SpaceSpec, all_up: bool) -> bool:
        with self._member.machine.view() as view:
            return has_places(view.map(), spec.redundancy.owners, all_up=all_up)

    async def _is_absent_here(self, name: str) -> bool:
        """Whether the leader can go straight to creating it: one round less."""
        if not self._member.host.standing.leads:
            return False
        tenant = await self._writer()
        with self._member.machine.view() as view:
            return view.find_space(tenant.number, name) is None

    async def _writer(self) -> records.TenantRecord:
        """The tenant that asks for a change. Raises NotLeader, Unauthenticated."""
        self._member.require_leader()
        try:
            with self._member.machine.view() as view:
                return _caller(view)
        except Unauthenticated:
            # A new leader may not have applied the tenant's creation yet.
            await self._member.gateway.read_point()
            with self._member.machine.view() as view:
                return _caller(view)

    async def _create(self, request: meta.OpenSpaceRequest) -> records.SpaceRecord:
        tenant = await self._writer()
        operation = records.CreateSpace(
            tenant_number=tenant.number,
            name=request.name,
            block_bytes=request.block_bytes,
            redundancy=request.redundancy,
            ttl_s=request.ttl_s,
            priority=request.priority,
            fingerprint=request.fingerprint,
            force=request.force,
        )
        # What is not valid is refused before it is logged, copied and synced; any number will do.
        create_space.spec_of(operation, tenant.name, number=1)
        command = records.Command(create_space=operation)
        result = await self._member.gateway.propose(command, request.client_id, request.sequence)
        return result.space

    async def ListSpaces(
        self, request: meta.ListSpacesRequest, context: Any
    ) -> meta.ListSpacesReply:
        await self._member.gateway.read_point()
        with self._member.machine.view() as view:
            tenant = _caller(view)
            spaces = [space_info(record) for record in view.spaces_of(tenant.number)]
        return meta.ListSpacesReply(spaces=spaces)

    async def DescribeSpace(self, request: meta.SpaceName, context: Any) -> meta.SpaceInfo:
        await self._member.gateway.read_point()
        with self._member.machine.view() as view:
            return space_info(view.space(_caller(view), request.name))

    async def DeleteSpace(
        self, request: meta.DeleteSpaceRequest, context: Any
    ) -> meta.DeleteSpaceReply:
        tenant = await self._writer()
        command = records.Command(
            delete_space=records.DeleteSpace(tenant_number=tenant.number, name=request.name)
        )
        result = await self._member.gateway.propose(command, request.client_id, request.sequence)
        return meta.DeleteSpaceReply(number=SpaceSpec.decode(result.space.spec).number)

    async def GetMap(self, request: meta.MapRequest, context: Any) -> meta.MapReply:
        await self._member.gateway.read_point()
        with self._member.machine.view() as view:
            _caller(view)
            return _map_reply(view, request.known_epoch)

    async def WatchMap(
        self, request: meta.MapRequest, context: Any
    ) -> AsyncIterator[meta.MapReply]:
        hub = self._member.hub
        await self._member.gateway.read_point()
        sent = -1
        while True:
            with self._member.machine.view() as view:
                _caller(view)
                reply = _map_reply(view, request.known_epoch if sent < 0 else sent)
            if reply.epoch != sent:
                sent = reply.epoch
                yield reply
            if hub.epoch == sent:
                await hub.changed()
            else:
                hub.poke()


def _map_reply(view: StateView, known_epoch: int) -> meta.MapReply:
    epoch = view.epoch()
    return meta.MapReply(epoch=epoch, map=view.map_bytes() if epoch > known_epoch else b"")


def _caller(view: StateView) -> records.TenantRecord:
    """The tenant that calls. Raises Unauthenticated, the same for a wrong name and a wrong key."""
    name, key = TENANT_CALLER.get()
    view.cluster()
    try:
        tenant = view.tenant(name)
    except NotFound:
        tenant = None
    if tenant is None or not any(api_keys.matches(key, stored) for stored in tenant.keys):
        raise Unauthenticated(
            f"tenant {name!r} does not exist or the API key is not its own: use the key that was "
            "shown when the tenant was created or its key rotated",
            tenant=name,
        )
    return tenant
