"""The leader's duties, one after the other, several times a second."""

from __future__ import annotations

import asyncio
import os

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast_kvstore.cluster_map import CLUSTER_ID_BYTES, NodeState
from holdfast_kvstore.errors import HoldfastError
from holdfast_metanode import audit
from holdfast_metanode.planner.placement_plan import PlacementPlanner
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.state.levels import LEVEL_MAX
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta

_LOG = structlog.get_logger("planner")
_INTERVAL_S = 0.1
_CAUGHT_UP_ENTRIES = 100


class LeaderDuties:
    """Founds the cluster, judges data nodes, places groups, promotes members that caught up."""

    def __init__(self, member: MemberContext, advertised: str) -> None:
        self._member = member
        self._advertised = advertised
        self._planner = PlacementPlanner(member.config.nodes.settle_ms)
        self._led = False

    async def run(self) -> None:
        """Until cancelled. A refused command is tried again at the next round."""
        while True:
            if self._member.host.standing.leads:
                if not self._led:
                    self._member.detector.start(self._member.clock.monotonic_ms())
                    self._planner.forget()
                self._led = True
                try:
                    await self._round()
                except HoldfastError as error:
                    _LOG.info("leader's duty postponed", code=error.code, error=error.message)
            else:
                self._led = False
            await asyncio.sleep(_INTERVAL_S)

    async def _round(self) -> None:
        with self._member.machine.view() as view:
            founded = view.founded()
        if not founded:
            await self._found()
            return
        await self._register()
        await self._judge()
        await self._place()
        await self._promote()

    async def _found(self) -> None:
        config = self._member.config
        cluster = config.cluster
        command = records.Command(
            bootstrap_cluster=records.BootstrapCluster(
                cluster_id=os.urandom(CLUSTER_ID_BYTES),
                signing_key=Ed25519PrivateKey.generate().private_bytes_raw(),
                group_count=cluster.group_count,
                width=cluster.width,
                members=[
                    records.RegisterMember(id=found.id, address=found.address, level_max=LEVEL_MAX)
                    for found in cluster.initial_members
                ],
            )
        )
        await self._member.gateway.propose(command)
        # Founding members are of one build: nobody is behind its newest level.
        raised = records.RaiseLevel(level=LEVEL_MAX)
        await self._member.gateway.propose(records.Command(raise_level=raised))
        _LOG.info("cluster founded", groups=cluster.group_count, level=LEVEL_MAX)

    async def _register(self) -> None:
        """Keeps the leader's own address right; the others register through the leader."""
        member_id = self._member.config.member.id
        with self._member.machine.view() as view:
            mine = [found for found in view.members() if found.id == member_id]
        wanted = records.RegisterMember(id=member_id, address=self._advertised, level_max=LEVEL_MAX)
        if mine != [wanted]:
            await self._member.gateway.propose(records.Command(register_member=wanted))

    async def _judge(self) -> None:
        with self._member.machine.view() as view:
            cluster_map = view.map()
        now_ms = self._member.clock.monotonic_ms()
        for verdict in self._member.detector.judge(cluster_map, now_ms):
            command = records.Command(
                set_node_state=records.SetNodeState(
                    node=verdict.node.id,
                    incarnation=verdict.node.incarnation,
                    state=meta.NodeState.ValueType(verdict.state),
                )
            )
            await self._member.gateway.propose(command)
            _LOG.info("node state", node=verdict.node.id, state=verdict.state.name.lower())
            if verdict.state is NodeState.OUT:
                audit.acted("leader", "SetNodeState", f"node={verdict.node.id} state=out", "")

    async def _place(self) -> None:
        with self._member.machine.view() as view:
            cluster_map = view.map()
        if not self._planner.is_due(cluster_map, self._member.clock.monotonic_ms()):
            return
        plan = await asyncio.to_thread(self._planner.plan, cluster_map)
        if plan is not None:
            command = records.Command(
                set_placement=records.SetPlacement(
                    base_epoch=plan.base_epoch, owners=plan.owners.astype("<i2").tobytes()
                )
            )
            await self._member.gateway.propose(command)
            _LOG.info("groups placed", base_epoch=plan.base_epoch)
        self._planner.planned(cluster_map)

    async def _promote(self) -> None:
        status = self._member.host.status
        learners = status.configuration.learners
        if not learners or status.configuration.joint:
            return
        for found in status.progress:
            behind = status.last_index - found.matched
            if found.learner and found.recently_active and behind <= _CAUGHT_UP_ENTRIES:
                await self._member.gateway.change_members(("add_voter", found.member_id))
                _LOG.info("member promoted", member=found.member_id)
                return
