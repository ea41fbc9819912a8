"""A simulated cluster under faults: what each seed does, then healing and serving."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from holdfast_metanode.raft.requests import MemberChange, MemberStep, Proposal
from holdfast_metanode.state.machine import Applied
from holdfast_native import RaftConfiguration
from holdfast_proto import command_pb2 as records
from tests.simulation.client import SimulatedClient
from tests.simulation.history import History
from tests.simulation.invariants.applied_equal import AppliedEqual
from tests.simulation.invariants.at_most_once import AtMostOnce
from tests.simulation.invariants.epochs_monotonic import EpochsMonotonic
from tests.simulation.invariants.one_leader_per_term import OneLeaderPerTerm
from tests.simulation.member import SimulatedMember
from tests.simulation.network import Weather, Wires
from tests.simulation.world import World

FAULTS_MS = 20_000
HEAL_MS = 60_000
"""Generous: with many removed members about, a client that asks at random needs many tries."""


class SimulatedCluster:
    """Members, clients, and everything that is watched while they run."""

    def __init__(
        self, seed: int, members: int = 3, clients: int = 4, changing: bool = False
    ) -> None:
        self._changing = changing
        self.world = World(seed)
        self.wires = Wires(self.world)
        self.history = History()
        self.applied_equal = AppliedEqual()
        self.at_most_once = AtMostOnce()
        self.epochs = EpochsMonotonic()
        self.leaders = OneLeaderPerTerm()
        founders = list(range(1, members + 1))
        self.members = [
            SimulatedMember(self.world, self.wires, number, founders, self._applying)
            for number in founders
        ]
        self.clients = [
            SimulatedClient(self.world, self.members, self.history, number)
            for number in range(clients)
        ]

    def _applying(self, member_id: int, entry: Applied, result: bytes) -> None:
        self.applied_equal.see(member_id, entry, result)
        self.at_most_once.see(entry, result)

    def _watch(self) -> None:
        for member in self.members:
            if member.host is not None:
                self.leaders.see(member.id, member.host.standing)
            if member.machine is not None:
                with member.machine.view() as view:
                    self.epochs.see(view.applied().index, view.epoch())
        self.world.after(10, self._watch)

    # ------------------------------------------------------------------------ life

    def found(self) -> None:
        """Starts every member and founds the cluster with one tenant."""
        for member in self.members:
            member.start()
        self._watch()
        bootstrap = records.Command(version=1)
        bootstrap.bootstrap_cluster.cluster_id = b"0123456789abcdef"
        bootstrap.bootstrap_cluster.signing_key = b"k" * 32
        bootstrap.bootstrap_cluster.group_count = 8
        bootstrap.bootstrap_cluster.width = 2
        tenant = records.Command(version=1)
        tenant.create_tenant.name = "t"
        self._propose_until(bootstrap, lambda: self._everywhere(lambda view: view.founded()))
        self._propose_until(
            tenant, lambda: self._everywhere(lambda view: view.tenant_number("t") == 1)
        )

    def _propose_until(self, command: records.Command, done: Callable[[], bool]) -> None:
        data = command.SerializeToString()

        def again() -> None:
            if not done():
                for member in self.members:
                    if member.host is not None and member.host.standing.leads:
                        deadline_ms = self.world.now_ms + 1_000
                        member.submit(Proposal(data, deadline_ms, lambda outcome: None))
                self.world.after(500, again)

        again()
        assert self.world.run_until(self.world.now_ms + 20_000, done), "the cluster never began"

    def _everywhere(self, holds: Callable[..., bool]) -> bool:
        for member in self.members:
            if member.machine is None:
                return False
            with member.machine.view() as view:
                if not holds(view):
                    return False
        return True

    def run_faults(self) -> None:
        """Lets clients work while faults of every kind come and go."""
        for client in self.clients:
            client.start()
        end_ms = self.world.now_ms + FAULTS_MS
        self._next_fault(end_ms)
        self._move_nodes(end_ms, 1)
        if self._changing:
            self._change_members(end_ms)
        self.world.run_until(end_ms)

    def _next_fault(self, end_ms: int) -> None:
        if self.world.now_ms >= end_ms:
            return
        draw = self.world.random
        fault = draw.choice((self._crash, self._crash_all, self._split, self._storm, self._calm))
        fault()
        self.world.after(draw.randint(100, 2_500), lambda: self._next_fault(end_ms))

    def _crash(self) -> None:
        victim = self.world.random.choice(self.members)
        if self.world.random.random() < 0.5:
            victim.power_loss = 0.05  # goes in the middle of a turn, soon
        else:
            victim.crash()
        self.world.after(self.world.random.randint(50, 3_000), lambda: _restart(victim))

    def _crash_all(self) -> None:
        for member in self.members:
            member.crash()
            self.world.after(self.world.random.randint(50, 2_000), partial(_restart, member))

    def _split(self) -> None:
        ids = [member.id for member in self.members]
        self.world.random.shuffle(ids)
        at = self.world.random.randint(1, len(ids) - 1)
        self.wires.split([ids[:at], ids[at:]])

    def _storm(self) -> None:
        draw = self.world.random
        self.wires.weather = Weather(
            drop=draw.uniform(0, 0.3),
            duplicate=draw.uniform(0, 0.3),
            delay_ms_max=draw.choice((5, 50, 300)),
            slow=draw.uniform(0, 0.2),
        )

    def _calm(self) -> None:
        self.wires.heal()

    def _move_nodes(self, end_ms: int, round_number: int) -> None:
        """Keeps the map's epoch moving: a data node joins with a new incarnation each time."""
        if self.world.now_ms >= end_ms:
            return
        command = records.Command(version=1)
        command.join_node.incarnation = round_number
        command.join_node.tcp_address = f"127.0.0.1:{round_number}"
        command.join_node.weight = 1
        for member in self.members:
            if member.host is not None and member.host.standing.leads:
                deadline_ms = self.world.now_ms + 1_000
                data = command.SerializeToString()
                member.submit(Proposal(data, deadline_ms, lambda outcome: None))
        self.world.after(1_000, lambda: self._move_nodes(end_ms, round_number + 1))

    # ------------------------------------------------------------------------ members

    def _configuration(self) -> RaftConfiguration:
        """As the member that is furthest knows it."""
        furthest = max(
            (member.machine.applied() for member in self.members if member.machine is not None),
            key=lambda applied: applied.index,
        )
        return RaftConfiguration.decode(furthest.configuration)

    def _change_members(self, end_ms: int) -> None:
        """Members enter as learners, are promoted, and leave, whatever else goes on."""
        if self.world.now_ms >= end_ms:
            return
        self.world.after(
            self.world.random.randint(500, 2_000), lambda: self._change_members(end_ms)
        )
        if not any(member.running for member in self.members):
            return
        configuration = self._configuration()
        voters, learners = configuration.voters, configuration.learners
        step: MemberStep
        if learners:
            step = ("add_voter", learners[0])
        elif len(voters) >= 4:
            step = ("remove", self.world.random.choice(voters))
        else:
            entering = SimulatedMember(
                self.world, self.wires, len(self.members) + 1, [], self._applying
            )
            self.members.append(entering)
            entering.start()
            step = ("add_learner", entering.id)
        for member in self.members:
            if member.host is not None and member.host.standing.leads:
                deadline_ms = self.world.now_ms + 1_000
                member.submit(MemberChange([step], deadline_ms, lambda outcome: None))

    def heal_and_serve(self) -> None:
        """Ends all faults; every operation must be answered and every member be equal.

        A member that is not in the configuration need not be: it was removed, or never let in.
        """
        self.wires.heal()
        for member in self.members:
            _restart(member)
        for client in self.clients:
            client.stopping = True

        def quiet() -> bool:
            return all(client.idle for client in self.clients) and self._equal()

        assert self.world.run_until(self.world.now_ms + HEAL_MS, quiet), (
            f"the cluster did not heal: {self.history.unanswered} operations have no answer, "
            f"standings {[member.host and member.host.standing for member in self.members]}"
        )

    def _equal(self) -> bool:
        applied = set()
        configuration = self._configuration()
        present = {*configuration.voters, *configuration.learners}
        for member in self.members:
            if member.id not in present:
                continue
            if member.machine is None:
                return False
            applied.add(member.machine.applied().index)
        return len(applied) == 1


def _restart(member: SimulatedMember) -> None:
    member.power_loss = 0.0
    member.start()
