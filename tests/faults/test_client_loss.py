"""Client processes that die in the middle of calls: the data node serves on."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest

import holdfast
from tests.client.blocks import check_blocks, put_blocks

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

VICTIM = """
import sys
import numpy as np
import holdfast

address, tenant, key, transport, number = sys.argv[1:6]
cluster = holdfast.connect(address, tenant=tenant, key=key, transport=transport)
space = cluster.space("victims", block_bytes=1 << 20, create=True)
region = space.allocate(16 << 20)
print("ready", flush=True)
turn = 0
while True:
    names = [f"{number}-{turn}-{index}".encode() for index in range(16)]
    put = space.futures.put(names, region.blocks())
    space.futures.get(names, space.allocate(16 << 20).blocks())
    put.result()
    turn += 1
"""
LIVES = 6


def test_clients_killed_in_mid_transfer_do_not_hurt_the_node(
    one_of_each: holdfast.LocalCluster, transport: str
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    node = one_of_each.data_nodes[0]
    pid = node.pid
    with one_of_each.connect(transport="tcp" if transport == "tcp" else "shm") as cluster:
        space = cluster.space("survivors", block_bytes=4096, create=True)
        for life in range(LIVES):
            who = (one_of_each.address, one_of_each.tenant, one_of_each.key)
            command = [sys.executable, "-c", VICTIM, *who, transport, str(life)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
                assert victim.stdout is not None
                assert victim.stdout.readline() == "ready\n"
                run_for(dice.uniform(0.02, 0.4))
                victim.kill()
            node.check_running()
            space.delete([b"key"])
            put_blocks(space, life * 100, 16)
            check_blocks(space, life * 100, 16)
    assert node.running
    assert node.pid == pid


def run_for(seconds: float) -> None:
    """Lets the victim work for a random while: the moment of its death is what varies here."""
    threading.Event().wait(seconds)
