"""One simulated member: the production host on a simulated clock, network and disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast_kvstore.errors import Busy
from holdfast_metanode.raft.host import HostConfig, RaftHost
from holdfast_metanode.raft.requests import Item, Received, Unreachable
from holdfast_metanode.raft.seams import TurnReport
from holdfast_metanode.raft.snapshots import SnapshotLimits
from holdfast_metanode.raft.start import recover
from holdfast_metanode.state.machine import Applied, StateMachine
from holdfast_metanode.store import MemoryDisk, MemoryStore
from holdfast_native import RaftConfig, RaftMemoryLog
from tests.simulation.disk import CrashingLog, PowerLossError
from tests.simulation.network import MemberNetwork, Wires
from tests.simulation.world import MemberClock, World

TICK_MS = 50
Applying = Callable[[int, Applied, bytes], None]


class RecordingMachine(StateMachine):
    """Tells `applying` (member id, entry, result) of everything that is applied."""

    def __init__(self, store: MemoryStore, member_id: int, applying: Applying) -> None:
        super().__init__(store)
        self._member_id = member_id
        self._applying = applying

    def apply(self, entries: Sequence[Applied]) -> list[bytes]:
        results = super().apply(entries)
        for entry, result in zip(entries, results, strict=True):
            self._applying(self._member_id, entry, result)
        return results


class SimulatedMember:
    """Runs, loses power, starts again from what its disk held."""

    def __init__(
        self,
        world: World,
        wires: Wires,
        member_id: int,
        founders: Sequence[int],
        applying: Applying,
    ) -> None:
        self.id = member_id
        self._world = world
        self._wires = wires
        self._founders = founders
        self._applying = applying
        self._clock = MemberClock(world, world.random.randint(-5_000, 5_000))
        self._disk = MemoryDisk()
        self._raft_log = RaftMemoryLog()
        self.power_loss = 0.0
        """Probability of losing power at each write."""
        self._life = 0
        self._turn_due = False
        self.host: RaftHost | None = None
        self.machine: StateMachine | None = None

    @property
    def running(self) -> bool:
        return self.host is not None

    def start(self) -> None:
        if self.host is not None:
            return
        self._life += 1
        life = self._life
        store = MemoryStore(self._disk)
        machine = RecordingMachine(store, self.id, self._applying)
        log = CrashingLog(self._raft_log, lambda: self._world.random.random() < self.power_loss)
        config = HostConfig(
            RaftConfig(self.id), TICK_MS, 1_000, SnapshotLimits(40, 1 << 20, 5, 2_000)
        )
        self.machine = machine
        self.host = RaftHost(
            config,
            recover(log, machine, store, self._founders),
            log=log,
            machine=machine,
            store=store,
            clock=self._clock,
            network=MemberNetwork(self._wires, self.id),
            jobs=_Jobs(self, life),
            seed=self._world.random.getrandbits(64),
            address_of=lambda member: f"member-{member}",
            tell=TurnReport.tell,
        )
        self._wires.attach(self.id, self._deliver, self._unreachable, store)
        self._tick(life)

    def crash(self) -> None:
        """Everything that was not synced is gone; whoever waited never hears."""
        if self.host is None:
            return
        self._wires.detach(self.id)
        self.host = self.machine = None
        self._raft_log.crash()

    def submit(self, item: Item) -> bool:
        """False when the member does not run or is full: the caller hears nothing."""
        if self.host is None:
            return False
        try:
            self.host.submit(item)
        except Busy:
            return False
        self.schedule_turn()
        return True

    def schedule_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            life = self._life
            self._world.after(self._world.random.randint(0, 2), lambda: self._turn(life))

    def run_job(self, life: int, work: Callable[[], None]) -> None:
        if life == self._life and self.host is not None:
            work()
            self.schedule_turn()

    def unix_ms(self) -> int:
        return self._clock.unix_ms()

    def after(self, delay_ms: int, event: Callable[[], None]) -> None:
        self._world.after(self._world.random.randint(1, delay_ms), event)

    def _deliver(self, data: bytes) -> None:
        self.submit(Received([data]))

    def _unreachable(self, member_id: int) -> None:
        self.submit(Unreachable(member_id))

    def _tick(self, life: int) -> None:
        if life == self._life and self.host is not None:
            self.schedule_turn()
            self._world.after(TICK_MS, lambda: self._tick(life))

    def _turn(self, life: int) -> None:
        self._turn_due = False
        if life != self._life or self.host is None:
            return
        try:
            self.host.turn(self.host.inbox.take(0))
        except PowerLossError:
            self.crash()


class _Jobs:
    """`Jobs` that take a while; lost with the member."""

    def __init__(self, member: SimulatedMember, life: int) -> None:
        self._member = member
        self._life = life

    def run(self, work: Callable[[], None]) -> None:
        self._member.after(50, lambda: self._member.run_job(self._life, work))
