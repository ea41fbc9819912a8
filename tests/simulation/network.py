"""A network that drops, delays, doubles and reorders messages, and splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from holdfast_kvstore.errors import Unavailable
from holdfast_metanode.store.seam import Store
from holdfast_native import RaftMessage
from holdfast_proto import command_pb2 as records
from tests.simulation.world import World


@dataclass
class Weather:
    """What the network does to messages now; probabilities are in [0, 1]."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_ms_max: int = 5
    slow: float = 0.0
    """Share of messages that take up to twenty times as long."""


class Wires:
    """The network between all members."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.weather = Weather()
        self._cut: set[frozenset[int]] = set()
        self._deliver: dict[int, Callable[[bytes], None]] = {}
        self._stores: dict[int, Store] = {}
        self._unreachable: dict[int, Callable[[int], None]] = {}

    def attach(
        self,
        member_id: int,
        deliver: Callable[[bytes], None],
        unreachable: Callable[[int], None],
        store: Store,
    ) -> None:
        self._deliver[member_id] = deliver
        self._unreachable[member_id] = unreachable
        self._stores[member_id] = store

    def detach(self, member_id: int) -> None:
        for table in (self._deliver, self._unreachable, self._stores):
            table.pop(member_id, None)

    def split(self, groups: Sequence[Iterable[int]]) -> None:
        """Members of different groups no longer reach one another."""
        sides = [set(group) for group in groups]
        self._cut = {
            frozenset((one, other))
            for place, side in enumerate(sides)
            for others in sides[place + 1 :]
            for one in side
            for other in others
        }

    def heal(self) -> None:
        self._cut = set()
        self.weather = Weather()

    def reaches(self, one: int, other: int) -> bool:
        return frozenset((one, other)) not in self._cut and other in self._deliver

    def send(self, sender: int, to: int, data: bytes) -> None:
        draw = self._world.random.random
        if not self.reaches(sender, to) or draw() < self.weather.drop:
            if draw() < 0.3 and sender in self._unreachable:
                self._world.after(1, lambda: self._tell_unreachable(sender, to))
            return
        copies = 2 if draw() < self.weather.duplicate else 1
        for _ in range(copies):
            delay_ms = self._world.random.randint(0, self.weather.delay_ms_max)
            if draw() < self.weather.slow:
                delay_ms *= 20
            self._world.after(delay_ms, lambda: self._arrive(sender, to, data))

    def _arrive(self, sender: int, to: int, data: bytes) -> None:
        if self.reaches(sender, to):
            self._deliver[to](data)

    def _tell_unreachable(self, sender: int, to: int) -> None:
        if sender in self._unreachable:
            self._unreachable[sender](to)

    def store_of(self, asker: int, member_id: int) -> Store:
        draw = self._world.random.random
        if not self.reaches(asker, member_id) or draw() < 3 * self.weather.drop:
            raise Unavailable("the other member is not reached")
        return self._stores[member_id]


class MemberNetwork:
    """`Network` of one member."""

    def __init__(self, wires: Wires, member_id: int) -> None:
        self._wires = wires
        self._member_id = member_id

    def send(self, messages: Sequence[RaftMessage]) -> None:
        for message in messages:
            self._wires.send(self._member_id, message.to, message.data)

    def fetch(self, descriptor: records.CheckpointDescriptor) -> Iterable[bytes]:
        return self._wires.store_of(self._member_id, descriptor.member).pieces(descriptor.index)
