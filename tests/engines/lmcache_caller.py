"""LMCache's side of its plugin interface."""

from __future__ import annotations

import ctypes
import hashlib
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import holdfast
from holdfast.engines.lmcache import HoldfastPlugin
from holdfast.engines.lmcache.notices import Notice

SIZE = 64 << 10
WAIT_S = 30.0


class Caller:
    """Does what LMCache's own adapter does with the plugin."""

    def __init__(self, plugin: HoldfastPlugin) -> None:
        self.plugin = plugin
        self._poller = select.poll()
        self._poller.register(plugin.event_fd(), select.POLLIN)
        self._seen: dict[int, Notice] = {}

    def wait(self, number: int) -> Notice:
        """What became of one batch; no batch may be answered twice."""
        end = time.monotonic() + WAIT_S
        while number not in self._seen:
            assert time.monotonic() < end, f"batch {number} was not answered"
            self._poller.poll(1000)
            for notice in self.plugin.drain_completions():
                assert notice[0] not in self._seen
                self._seen[notice[0]] = notice
        return self._seen[number]

    def readable(self) -> bool:
        return bool(self._poller.poll(0))

    def save(self, keys: Sequence[str], views: Sequence[memoryview]) -> tuple[bool, str]:
        _, ok, error, results = self.wait(self.plugin.submit_batch_set(keys, views))
        assert results is None
        return ok, error

    def load(self, keys: Sequence[str], views: Sequence[memoryview]) -> list[bool]:
        _, ok, error, results = self.wait(self.plugin.submit_batch_get(keys, views))
        assert results is not None
        assert ok == all(results) == (not error)
        return results

    def found(self, keys: Sequence[str]) -> list[bool]:
        _, ok, _, results = self.wait(self.plugin.submit_batch_exists(keys))
        assert ok
        assert results is not None
        return results


Start = Callable[..., Caller]


@contextmanager
def starter(cluster: holdfast.LocalCluster) -> Iterator[Start]:
    running: list[HoldfastPlugin] = []

    def started(**params: Any) -> Caller:
        plugin = HoldfastPlugin(**{**reach(cluster), **params})
        running.append(plugin)
        return Caller(plugin)

    try:
        yield started
    finally:
        for plugin in running:
            plugin.close()


def reach(cluster: holdfast.LocalCluster) -> dict[str, Any]:
    return {
        "address": cluster.address,
        "tenant": cluster.tenant,
        "key": f"file:{cluster.directory / 'tenant.key'}",
        "kv_dtype": "bfloat16",
    }


def keys(
    model: str, count: int, *, rank: int = 0x01000100, group: int = 0, salt: str = ""
) -> list[str]:
    """Names in LMCache's form."""
    ending = f"@{salt}" if salt else ""
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    return [f"{model}@{rank:08x}@{group:x}@{digest}{ending}" for digest in digests]


def contents(seed: int, nbytes: int) -> bytes:
    return np.random.default_rng(seed).bytes(nbytes)


def overlays(pool: bytearray, offsets: Sequence[int], nbytes: int) -> list[memoryview]:
    """Views as LMCache makes them: they do not own the memory, nor know the pool."""
    first = ctypes.addressof(ctypes.c_ubyte.from_buffer(pool))
    return [memoryview((ctypes.c_ubyte * nbytes).from_address(first + at)) for at in offsets]


def slices(pool: bytearray, count: int, nbytes: int) -> list[memoryview]:
    return [memoryview(pool)[at * nbytes : (at + 1) * nbytes] for at in range(count)]


def save_known(caller: Caller, names: Sequence[str], nbytes: int = SIZE) -> bytes:
    """Stores known objects; answers all their bytes."""
    data = bytearray(contents(1, len(names) * nbytes))
    assert caller.save(names, slices(data, len(names), nbytes)) == (True, "")
    return bytes(data)
