"""A simulated client: one operation at a time, repeated until it is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast_kvstore.errors import HoldfastError, NotFound, from_wire
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode.raft.requests import Proposal, Read
from holdfast_proto import command_pb2 as records
from tests.simulation.history import History, Kind, Operation
from tests.simulation.member import SimulatedMember
from tests.simulation.world import World

DEADLINE_MS = 1_500
KINDS: tuple[Kind, ...] = ("create", "create", "delete", "read")
NAMES = ("red", "green", "blue")


class SimulatedClient:
    """Creates, deletes and reads spaces; each try goes to a member drawn at random."""

    def __init__(
        self, world: World, members: Sequence[SimulatedMember], history: History, number: int
    ) -> None:
        self._world = world
        self._members = members
        self._history = history
        self._id = f"client-{number}".encode()
        self._sequence = 0
        self._operation: Operation | None = None
        self._attempt = 0
        self.stopping = False

    def start(self) -> None:
        self._world.after(self._world.random.randint(0, 200), self._begin)

    @property
    def idle(self) -> bool:
        return self._operation is None

    def _begin(self) -> None:
        if self.stopping:
            return
        self._sequence += 1
        kind = self._world.random.choice(KINDS)
        name = self._world.random.choice(NAMES)
        self._operation = Operation(self._id, self._sequence, kind, name, self._world.now_ms)
        self._history.operations.append(self._operation)
        self._try()

    def _try(self) -> None:
        operation = self._operation
        assert operation is not None
        self._attempt += 1
        attempt = self._attempt
        member = self._world.random.choice(self._members)
        # A member that loses power never answers: the client asks again by itself.
        self._world.after(DEADLINE_MS * 2, lambda: self._retry(attempt))
        done = self._hearer(attempt, member)
        deadline_ms = self._world.now_ms + DEADLINE_MS
        if operation.kind == "read":
            sent = member.submit(Read(deadline_ms, done))
        else:
            data = self._command(operation, member).SerializeToString()
            sent = member.submit(Proposal(data, deadline_ms, done))
        if not sent:
            self._world.after(self._world.random.randint(5, 50), lambda: self._retry(attempt))

    def _command(self, operation: Operation, member: SimulatedMember) -> records.Command:
        command = records.Command(
            version=1,
            client_id=self._id,
            sequence=operation.sequence,
            stamped_at_ms=member.unix_ms(),
        )
        if operation.kind == "create":
            command.create_space.tenant_number = 1
            command.create_space.name = operation.name
            command.create_space.block_bytes = 4096
        else:
            command.delete_space.tenant_number = 1
            command.delete_space.name = operation.name
        return command

    def _retry(self, attempt: int) -> None:
        if attempt == self._attempt and self._operation is not None:
            self._try()

    def _hearer(
        self, attempt: int, member: SimulatedMember
    ) -> Callable[[bytes | HoldfastError], None]:
        def hear(outcome: bytes | HoldfastError) -> None:
            if attempt != self._attempt or self._operation is None:
                return
            if isinstance(outcome, HoldfastError):
                assert outcome.retryable, outcome
                pause_ms = self._world.random.randint(5, 80)
                self._world.after(pause_ms, lambda: self._retry(attempt))
            else:
                self._answer(outcome, member)

        return hear

    def _answer(self, outcome: bytes, member: SimulatedMember) -> None:
        operation = self._operation
        assert operation is not None
        operation.number = (
            _read(member, operation.name) if operation.kind == "read" else _number(outcome)
        )
        operation.answered_at_ms = self._world.now_ms
        self._operation = None
        self._attempt += 1
        self._world.after(self._world.random.randint(0, 150), self._begin)


def _read(member: SimulatedMember, name: str) -> int | None:
    assert member.machine is not None
    with member.machine.view() as view:
        found = view.find_space(1, name)
    return None if found is None else SpaceSpec.decode(found.spec).number


def _number(outcome: bytes) -> int | None:
    result = records.Result.FromString(outcome)
    if result.WhichOneof("outcome") == "failure":
        failure = result.failure
        error = from_wire(failure.code, failure.message, failure.details)
        assert isinstance(error, NotFound), error
        return None
    return SpaceSpec.decode(result.space.spec).number
