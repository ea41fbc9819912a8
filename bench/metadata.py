"""Metadata commands a second: three members, every command synced, 64 clients against one.

A command creates or deletes a space, through the contract that the client library speaks. The
load runs in a process of its own, because it shares two cores with three members as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import grpc.aio

import holdfast
from bench.figure import Bound, Figure

if TYPE_CHECKING:
    from holdfast_proto.meta_pb2_grpc import TenancyAsyncStub
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import TenancyStub

CLIENTS = 64
_CHANNELS_MAX = 4
_WARM_UP_S = 1.0


def measure(pairs: int, seconds: float) -> list[Figure]:
    """One figure; `pairs` runs of `seconds` with one client and as many with 64, in turn."""
    with holdfast.local(data_nodes=0, metadata_nodes=3) as local:
        _run(local, CLIENTS, _WARM_UP_S)
        ratios, one_rates, many_rates, syncs = [], [], [], []
        for _ in range(pairs):
            one, _ = _run(local, 1, seconds)
            many, per_command = _run(local, CLIENTS, seconds)
            ratios.append(many / one)
            one_rates.append(one)
            many_rates.append(many)
            syncs.append(per_command)
    middle = pairs // 2
    return [
        Figure(
            name="metadata_64_vs_1_client",
            unit="x",
            values=ratios,
            bound=Bound(must=3, aim=8),
            beside={
                "commands/s, 1 client": f"{sorted(one_rates)[middle]:.0f}",
                f"{CLIENTS} clients": f"{sorted(many_rates)[middle]:.0f}",
                "leader's syncs per command": f"{sorted(syncs)[middle]:.2f}",
            },
        )
    ]


def _run(local: holdfast.LocalCluster, clients: int, seconds: float) -> tuple[float, float]:
    """Commands a second, and syncs of the leader's log per command."""
    before = local.admin.status()
    leader = next(member.address for member in before.members if member.leader)
    command = [sys.executable, "-m", "bench.metadata", leader, local.tenant]
    command += [str(clients), str(seconds)]
    ended = subprocess.run(
        command,
        env={**os.environ, "HOLDFAST_KEY": local.key},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    rate, commands = json.loads(ended.stdout)
    after = local.admin.status()
    return rate, (after.log_syncs - before.log_syncs) / max(1, commands)


# ------------------------------------------------------------------------ the load's process


class _Load:
    """Clients that each have one command under way."""

    def __init__(self, tenant: str, key: str, until: float) -> None:
        self._metadata = (("holdfast-tenant", tenant), ("holdfast-key", key))
        self._until = until
        self.commands = 0

    async def client(self, stub: TenancyAsyncStub, name: str) -> None:
        """Creates and deletes the space `name` until the time is over."""
        client_id, sequence = os.urandom(16), 0
        while time.monotonic() < self._until:
            sequence += 1
            opened = meta.OpenSpaceRequest(
                client_id=client_id, sequence=sequence, name=name, create=True, block_bytes=4096
            )
            await stub.OpenSpace(opened, metadata=self._metadata, timeout=10)
            sequence += 1
            deleted = meta.DeleteSpaceRequest(client_id=client_id, sequence=sequence, name=name)
            await stub.DeleteSpace(deleted, metadata=self._metadata, timeout=10)
            self.commands += 2


async def _load(leader: str, tenant: str, clients: int, seconds: float) -> tuple[float, int]:
    count = min(clients, _CHANNELS_MAX)
    # A channel of its own each: gRPC would share one connection otherwise.
    options = [(("grpc.use_local_subchannel_pool", 1),) for _ in range(count)]
    channels = [grpc.aio.insecure_channel(leader, options=option) for option in options]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    started = time.monotonic()
    load = _Load(tenant, os.environ["HOLDFAST_KEY"], started + seconds)
    stubs = [TenancyStub(channel) for channel in channels]
    run = f"{os.getpid():x}"
    await asyncio.gather(
        *(load.client(stubs[n % count], f"bench-{run}-{n}") for n in range(clients))
    )
    took_s = time.monotonic() - started
    for channel in channels:
        await channel.close()
    return load.commands / took_s, load.commands


def main() -> None:
    """Runs the load and prints [commands a second, commands]."""
    parser = argparse.ArgumentParser(prog="python -m bench.metadata")
    parser.add_argument("leader")
    parser.add_argument("tenant")
    parser.add_argument("clients", type=int)
    parser.add_argument("seconds", type=float)
    chosen = parser.parse_args()
    found = asyncio.run(_load(chosen.leader, chosen.tenant, chosen.clients, chosen.seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
