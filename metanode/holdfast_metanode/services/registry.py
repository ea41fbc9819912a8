"""Puts every service on the server: this project's, health, reflection."""

from __future__ import annotations

import asyncio

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from holdfast_metanode.services.admin import AdminService
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.services.membership import MembershipService
from holdfast_metanode.services.raft import RaftService
from holdfast_metanode.services.tenancy import TenancyService
from holdfast_proto import meta_pb2 as meta
from holdfast_proto import meta_pb2_grpc as stubs

SERVICES = tuple(
    meta.DESCRIPTOR.services_by_name[name].full_name
    for name in ("Tenancy", "Admin", "Membership", "Raft")
)
"""Full names of this project's services."""
_HEALTH_INTERVAL_S = 0.2


def add_services(server: grpc.aio.Server, member: MemberContext) -> health.aio.HealthServicer:
    """Registers everything; returns the health service, which `Health` keeps up to date."""
    stubs.add_TenancyServicer_to_server(TenancyService(member), server)
    stubs.add_AdminServicer_to_server(AdminService(member), server)
    stubs.add_MembershipServicer_to_server(MembershipService(member), server)
    stubs.add_RaftServicer_to_server(RaftService(member), server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return healthy


class Health:
    """Serving means: the cluster is founded and a leader is known here."""

    def __init__(self, service: health.aio.HealthServicer, member: MemberContext) -> None:
        self._service = service
        self._member = member

    async def run(self) -> None:
        """Until cancelled."""
        shown = None
        while True:
            with self._member.machine.view() as view:
                founded = view.founded()
            serving = founded and self._member.host.standing.leader is not None
            if serving is not shown:
                shown = serving
                names = health_pb2.HealthCheckResponse
                status = names.SERVING if serving else names.NOT_SERVING
                for name in ("", *SERVICES):
                    await self._service.set(name, status)
            await asyncio.sleep(_HEALTH_INTERVAL_S)
