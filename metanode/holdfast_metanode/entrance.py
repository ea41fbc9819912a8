"""How a member finds the cluster: it asks present members until one lets it in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc.aio
import structlog

from holdfast_kvstore.errors import HoldfastError, NotLeader
from holdfast_metanode.raft.channels import Channels, error_of
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.state.levels import LEVEL_MAX
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import RaftStub

_LOG = structlog.get_logger("raft")
_JOIN = "/holdfast.v1.Raft/JoinMember"
_CALL_DEADLINE_S = 5.0
_PAUSE_S = 0.3
_REGISTER_INTERVAL_S = 1.0


class Entrance:
    """Registers this member's address with the leader, and asks to be added if it is new."""

    def __init__(self, channels: Channels, member_id: int, address: str) -> None:
        self._channels = channels
        self._request = meta.MemberRequest(id=member_id, address=address, level_max=LEVEL_MAX)

    async def ask(self, addresses: Sequence[str]) -> meta.JoinMemberReply:
        """One try at each address, and at the leader that they name. Raises what the last said."""
        failure: HoldfastError = NotLeader(None)
        for address in addresses:
            target: str | None = address
            for _ in range(3):  # an address, the leader that it names, the leader after that
                if target is None:
                    break
                try:
                    return await self._ask_one(target)
                except NotLeader as error:
                    failure, target = error, error.leader_address
                except HoldfastError as error:
                    failure, target = error, None
        raise failure

    async def ask_until_let_in(self, addresses: Sequence[str]) -> meta.JoinMemberReply:
        """Tries until it is let in; raises what will not change by waiting."""
        while True:
            try:
                return await self.ask(addresses)
            except HoldfastError as error:
                if not error.retryable:
                    raise
                _LOG.info("waiting to join", reason=error.message)
            await asyncio.sleep(_PAUSE_S)

    async def _ask_one(self, address: str) -> meta.JoinMemberReply:
        metadata = self._channels.signed(_JOIN, self._request.SerializeToString())
        async with self._channels.open_async(address) as channel:
            try:
                reply: meta.JoinMemberReply = await RaftStub(channel).JoinMember(
                    self._request, metadata=metadata, timeout=_CALL_DEADLINE_S
                )
            except grpc.aio.AioRpcError as error:
                raise error_of(error) from error
        return reply


class Registrar:
    """Keeps a member that does not lead known to the cluster: asks to be let in, then about its
    address when that has changed."""

    def __init__(self, entrance: Entrance, member: MemberContext, address: str) -> None:
        self._entrance = entrance
        self._member = member
        self._wanted = meta.MemberRequest(
            id=member.config.member.id, address=address, level_max=LEVEL_MAX
        )

    async def run(self) -> None:
        """Until cancelled. Raises what will not change by waiting, such as a removed member."""
        config = self._member.config
        if config.cluster.join and not self._founded():
            reply = await self._entrance.ask_until_let_in(config.cluster.join)
            for found in reply.members:
                self._member.roster.configure(found.id, found.address)
            _LOG.info("let in", cluster_id=reply.cluster_id.hex())
        while True:
            if self._founded() and not self._member.host.standing.leads:
                await self._register()
            await asyncio.sleep(_REGISTER_INTERVAL_S)

    def _founded(self) -> bool:
        with self._member.machine.view() as view:
            return view.founded()

    async def _register(self) -> None:
        with self._member.machine.view() as view:
            found = [known for known in view.members() if known.id == self._wanted.id]
        if found and (found[0].address, found[0].level_max) == (
            self._wanted.address,
            self._wanted.level_max,
        ):
            return
        leader = self._member.leader_address()
        if not found or leader is None:
            # Not in this member's state (yet): it lags, or it was removed.
            return
        try:
            await self._entrance.ask([leader])
        except HoldfastError as error:
            _LOG.warning("member not registered", error=error.message)
