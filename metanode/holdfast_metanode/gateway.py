"""From the services' event loop to the Raft host and back."""

from __future__ import annotations

import asyncio

from holdfast_kvstore.errors import HoldfastError, from_wire
from holdfast_metanode.clock import Clock
from holdfast_metanode.commands import level_of
from holdfast_metanode.raft.host import RaftHost
from holdfast_metanode.raft.requests import (
    LeaderTransfer,
    MemberChange,
    MemberStep,
    Proposal,
    Read,
)
from holdfast_proto import command_pb2 as records

_LOOK_S = 0.01


class Gateway:
    """Awaitable forms of the host's requests. All on one event loop.

    Each raises what the cluster refused with: NotLeader names the leader's address,
    OutcomeUnknown says that a change may have happened, Busy that a bound is reached.
    """

    def __init__(self, host: RaftHost, clock: Clock, deadline_ms: int) -> None:
        self._host = host
        self._clock = clock
        self._deadline_ms = deadline_ms

    async def read_point(self) -> None:
        """Once this returns, the local state holds everything acknowledged before the call."""
        future = self._future()
        self._host.submit(Read(self._deadline(), _Teller(future)))
        await future

    async def propose(
        self, command: records.Command, client_id: bytes = b"", sequence: int = 0
    ) -> records.Result:
        """Stamps and logs `command`; its result once it is applied here.

        Raises also what the operation itself was refused with.
        """
        command.version = level_of(command)
        command.client_id = client_id
        command.sequence = sequence
        command.stamped_at_ms = self._clock.unix_ms()
        future = self._future()
        data = command.SerializeToString()
        self._host.submit(Proposal(data, self._deadline(), _Teller(future)))
        result = records.Result.FromString(await future)
        if result.WhichOneof("outcome") == "failure":
            failure = result.failure
            raise from_wire(failure.code, failure.message, failure.details)
        return result

    async def change_members(self, *steps: MemberStep) -> None:
        """Changes who votes; returns when the change is in force here."""
        future = self._future()
        self._host.submit(MemberChange(steps, self._deadline(), _Teller(future)))
        await future

    async def transfer_leader(self, member_id: int) -> None:
        """Starts handing leadership over."""
        future = self._future()
        self._host.submit(LeaderTransfer(member_id, _Teller(future)))
        await future

    async def stands_down(self, deadline_s: float) -> bool:
        """Waits until this member does not lead; False when it still does at the deadline."""
        for _ in range(max(1, round(deadline_s / _LOOK_S))):
            if not self._host.standing.leads:
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    def _deadline(self) -> int:
        return self._clock.monotonic_ms() + self._deadline_ms

    @staticmethod
    def _future() -> asyncio.Future[bytes]:
        return asyncio.get_running_loop().create_future()


class _Teller:
    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[bytes]) -> None:
        self._future = future

    def __call__(self, outcome: bytes | HoldfastError) -> None:
        if self._future.done():  # the caller went away
            return
        if isinstance(outcome, HoldfastError):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)
