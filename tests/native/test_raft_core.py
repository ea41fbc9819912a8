"""The Raft core through its Python face: the loop of a host, effects, errors."""

from collections.abc import Callable

import pytest

import holdfast_native as native


class Host:
    """One member's loop, on a log in memory."""

    def __init__(self, member_id: int, voters: list[int], seed: int = 1) -> None:
        self.log = native.RaftMemoryLog()
        self.log.bootstrap(voters)
        config = native.RaftConfig(member_id)
        self.core = native.RaftCore(config, self.log.recovered(), applied=1, seed=seed + member_id)
        self.applied: list[native.RaftEntry] = []
        self.reads: list[tuple[bytes, int]] = []

    def turn(self) -> list[native.RaftMessage]:
        """Runs until nothing is left to do; returns the messages to send."""
        sent: list[native.RaftMessage] = []
        while (effects := self.core.ready()) is not None:
            sent += effects.messages
            self.log.persist(effects)
            sent += effects.messages_after_persist
            self.core.advance(effects.number)
            for entry in effects.committed:
                if entry.kind == "configuration":
                    self.core.apply_configuration_change(entry.index)
                self.applied.append(entry)
            self.core.advance_apply(self.applied[-1].index if self.applied else self.core.applied)
            self.reads += effects.read_states
        return sent


class Cluster:
    """Hosts that hear each other at once."""

    def __init__(self, count: int) -> None:
        voters = list(range(1, count + 1))
        self.hosts = {member_id: Host(member_id, voters) for member_id in voters}

    def exchange(self) -> None:
        moved = True
        while moved:
            moved = False
            for host in self.hosts.values():
                for message in host.turn():
                    self.hosts[message.to].core.step(message.data)
                    moved = True

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(500):
            if condition():
                return
            for host in self.hosts.values():
                host.core.tick()
            self.exchange()
        raise AssertionError("not within 500 ticks")

    def leader(self) -> Host:
        self.until(lambda: any(host.core.is_leader for host in self.hosts.values()))
        return next(host for host in self.hosts.values() if host.core.is_leader)


def test_three_members_commit_the_same() -> None:
    cluster = Cluster(3)
    leader = cluster.leader()
    index, term = leader.core.propose(b"context", b"data")
    cluster.exchange()
    for host in cluster.hosts.values():
        last = host.applied[-1]
        assert (last.index, last.term, last.kind) == (index, term, "normal")
        assert (last.context, last.data) == (b"context", b"data")


def test_only_the_leader_takes_proposals_and_names_itself() -> None:
    cluster = Cluster(3)
    leader = cluster.leader()
    follower = next(host for host in cluster.hosts.values() if not host.core.is_leader)
    with pytest.raises(native.NotLeaderError, match="ask member") as raised:
        follower.core.propose(b"", b"data")
    assert raised.value.leader == leader.core.status().member_id
    assert isinstance(raised.value, native.RaftError)
    alone = Host(1, [1, 2, 3])
    with pytest.raises(native.NotLeaderError) as unknown:
        alone.core.propose(b"", b"data")
    assert unknown.value.leader is None


def test_members_are_changed_and_read_from() -> None:
    cluster = Cluster(3)
    leader = cluster.leader()
    own = leader.core.status().member_id
    other = own % 3 + 1
    with pytest.raises(native.RemovesLeaderError):
        leader.core.propose_configuration_change([("remove", own)])
    leader.core.propose_configuration_change([("remove", other)], context=b"leaves")
    with pytest.raises(native.ConfigurationChangePendingError):
        leader.core.propose_configuration_change([("add_learner", 4)])
    cluster.exchange()
    configuration = leader.core.configuration()
    assert other not in configuration.voters
    assert len(configuration.voters) == 2
    leader.core.read_index(b"read")
    cluster.exchange()
    assert leader.reads == [(b"read", leader.core.applied)]


def test_input_waits_for_advance() -> None:
    host = Host(1, [1])
    host.core.campaign()
    effects = host.core.ready()
    assert effects is not None
    with pytest.raises(native.RaftStateError, match="wait for advance"):
        host.core.tick()
    host.log.persist(effects)
    host.core.advance(effects.number)
    host.core.tick()


def test_garbage_and_wrong_values_are_refused() -> None:
    host = Host(1, [1])
    with pytest.raises(native.RaftMessageError):
        host.core.step(b"garbage")
    with pytest.raises(native.RaftMessageError):
        native.RaftMessage.parse(b"\xff" * 20)
    with pytest.raises(ValueError, match="election_ticks"):
        native.RaftConfig(1, election_ticks=1)
    with pytest.raises(ValueError, match="none of add_voter"):
        host.core.propose_configuration_change([("promote", 2)])  # type: ignore[list-item]
    with pytest.raises(native.RaftStateError, match="has applied 9"):
        native.RaftCore(native.RaftConfig(1), host.log.recovered(), applied=9, seed=1)


def test_a_snapshot_reaches_a_member_that_lags() -> None:
    cluster = Cluster(3)
    leader = cluster.leader()
    lagging = cluster.hosts.pop(leader.core.status().member_id % 3 + 1)
    for number in range(20):
        leader.core.propose(b"", b"%d" % number)
        for message in leader.turn():
            if message.to in cluster.hosts:
                cluster.hosts[message.to].core.step(message.data)
        for host in cluster.hosts.values():
            for message in host.turn():
                if message.to in cluster.hosts:
                    cluster.hosts[message.to].core.step(message.data)
        leader.turn()
    compaction = leader.core.compact(leader.core.applied)
    leader.log.compact_to(compaction)
    assert leader.log.recovered().snapshot_index == compaction.index
    leader.core.provide_snapshot(compaction.index, b"where the copy lies")
    member_id = lagging.core.status().member_id
    arrived = None
    for _ in range(50):
        leader.core.tick()
        for message in leader.turn():
            if message.to != member_id:
                continue
            assert native.RaftMessage.parse(message.data).kind == message.kind
            if message.kind == "snapshot":
                assert message.snapshot_data == b"where the copy lies"
                arrived = message.snapshot_index
            lagging.core.step(message.data)
        if arrived is not None:
            break
        for message in lagging.turn():
            if message.to == leader.core.status().member_id:
                leader.core.step(message.data)
    effects = lagging.core.ready()
    assert effects is not None
    assert effects.snapshot is not None
    assert effects.snapshot.index == arrived == compaction.index
    assert effects.snapshot.configuration == native.RaftConfiguration([1, 2, 3])
    lagging.log.persist(effects)
    lagging.core.advance(effects.number)
    assert lagging.core.applied == compaction.index


def test_configurations_compare_by_value_and_survive_encoding() -> None:
    one = native.RaftConfiguration([3, 1], [7], [2], [2], True)
    assert one == native.RaftConfiguration.decode(one.encode())
    assert hash(one) == hash(native.RaftConfiguration([1, 3], [7], [2], [2], True))
    assert (one.voters, one.learners, one.joint, one.auto_leave) == ((1, 3), (7,), True, True)
    assert one != native.RaftConfiguration([1, 3])
