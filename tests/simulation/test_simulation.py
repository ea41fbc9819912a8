"""Members under every fault at once, in simulated time. A failure prints how to replay it.

More runs: `HOLDFAST_SIMULATION_RUNS=500`. One seed: `HOLDFAST_SIMULATION_SEED=12345`.
"""

from __future__ import annotations

import os
import random

import pytest

from holdfast_kvstore.errors import HoldfastError, InvalidArgument
from holdfast_metanode.raft.requests import Proposal
from tests.simulation.client import NAMES
from tests.simulation.cluster import SimulatedCluster
from tests.simulation.invariants.acknowledged_kept import check_acknowledged_kept
from tests.simulation.invariants.linearizable import check_linearizable

RUNS = int(os.environ.get("HOLDFAST_SIMULATION_RUNS", "12"))
FIXED_SEEDS = list(range(1, 7))


def seeds() -> list[int]:
    """Some seeds are the same every time, the others are new."""
    chosen = os.environ.get("HOLDFAST_SIMULATION_SEED")
    if chosen is not None:
        return [int(chosen)]
    fresh = random.SystemRandom()
    return FIXED_SEEDS[:RUNS] + [fresh.getrandbits(32) for _ in range(RUNS - len(FIXED_SEEDS))]


def simulate(seed: int, members: int, changing: bool = False) -> SimulatedCluster:
    print(f"replay: HOLDFAST_SIMULATION_SEED={seed} pytest tests/simulation")
    cluster = SimulatedCluster(seed, members, changing=changing)
    cluster.found()
    cluster.run_faults()
    cluster.heal_and_serve()
    return cluster


@pytest.mark.parametrize("run", range(1 if "HOLDFAST_SIMULATION_SEED" in os.environ else RUNS))
def test_members_under_faults(run: int) -> None:
    seed = seeds()[run]
    cluster = simulate(seed, members=5 if seed % 4 == 0 else 3, changing=seed % 3 == 0)
    check_acknowledged_kept(cluster.history, cluster.at_most_once, cluster.applied_equal)
    check_linearizable(cluster.history, NAMES)
    answered = len(cluster.history.operations) - cluster.history.unanswered
    assert answered >= 20, f"only {answered} operations were answered: nothing was tested"


def test_same_seed_same_history() -> None:
    first, second = simulate(7, 3), simulate(7, 3)
    assert first.history.operations == second.history.operations
    assert first.applied_equal.entries == second.applied_equal.entries


def test_a_command_that_the_log_does_not_take_is_refused_and_the_member_goes_on() -> None:
    cluster = SimulatedCluster(11, 3)
    cluster.found()
    world = cluster.world
    told: list[bytes | HoldfastError] = []
    leader = next(m for m in cluster.members if m.host is not None and m.host.standing.leads)
    leader.submit(Proposal(b"x" * (9 << 20), world.now_ms + 1_000, told.append))
    assert world.run_until(world.now_ms + 5_000, lambda: bool(told))
    assert isinstance(told[0], InvalidArgument)
    assert leader.host is not None
