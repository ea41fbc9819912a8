"""A program of a user, checked by `mypy --strict`: every call's types, none of it is run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import holdfast


def blocking(cluster: holdfast.Cluster, keys: npt.NDArray[np.uint8]) -> int:
    space: holdfast.Space = cluster.space(
        "typed", block_bytes=4096, redundancy="mirror:2", ttl=60, create=True
    )
    with space.allocate(64 * space.block_bytes) as region:
        segments: holdfast.Segments = region.blocks(indices=range(len(keys)))
        stored: holdfast.PutResult = space.put(keys, segments, first_position=3, deadline=1.0)
        found: holdfast.GetResult = space.get([b"one", b"two"], region.blocks(indices=[0, 1]))
        mask: npt.NDArray[np.bool_] = found.hit_mask
        exists: holdfast.ExistsResult = space.exists(holdfast.PackedKeys(b"12345678", 4))
        flags: list[bool] = list(exists)
        pinned: int = space.pin(keys, 5.0).pinned
        deleted: int = space.delete(keys).deleted
        facts: tuple[holdfast.BlockStat | None, ...] = space.stat(keys).blocks
    reasons: dict[str, int] = dict(stored.reasons)
    return len(mask) + len(flags) + pinned + deleted + len(facts) + len(reasons)


def started(space: holdfast.Space, segments: holdfast.Segments) -> int:
    pending: holdfast.Pending[holdfast.GetResult] = space.futures.get([b"key"], segments)
    pending.add_done_callback(lambda done: done.result().hits)
    matched: holdfast.Pending[int] = space.futures.match([b"key"])
    if not pending.done():
        pending.cancel()
    return matched.result(timeout=1.0) + pending.result().hits


async def awaited(space: holdfast.Space, segments: holdfast.Segments) -> int:
    result: holdfast.PutResult = await space.aio.put([b"key"], segments)
    matched: int = await space.aio.match([b"key"])
    return matched + result.stored


def paged(space: holdfast.Space, layers: list[npt.NDArray[np.float16]]) -> holdfast.Segments:
    planes: list[holdfast.Plane] = [
        holdfast.Plane(space.register(layer), base=0, block_stride=4096, run_bytes=4096)
        for layer in layers
    ]
    return holdfast.Segments.paged(planes, np.array([3, 1, 2]))


def errors(address: str) -> str:
    try:
        with holdfast.connect(
            [address],
            tenant="typed",
            key="key",
            transport="tcp",
            timeouts=holdfast.Timeouts(get_s=0.5),
            limits=holdfast.Limits(operations_max=16),
        ) as cluster:
            cluster.space("typed")
    except holdfast.SpaceMismatch as error:
        return f"{error.stored} is not {error.asked}"
    except holdfast.HoldfastError as error:
        return error.message
    return ""


def own_cluster() -> str:
    with holdfast.local(data_nodes=2, arena_mib=64) as running:
        with running.connect() as cluster:
            names: list[str] = cluster.spaces()
        running.data_nodes[0].kill()
        return f"{running.address} {names}"
