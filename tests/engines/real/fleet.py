"""The vLLM processes that cases share: each is started when a case first asks for it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.stored_blocks import StoredBlocks
from tests.engines.real.tiny_model import make_model, prompt
from tests.engines.real.vllm_engine import (
    OUTPUT_TOKENS,
    Counted,
    EngineSpec,
    Output,
    Prompt,
    VllmEngine,
)

if TYPE_CHECKING:
    from tests.engines.real.bed import Bed

LOAD_DEADLINE_MS = 2_000
TRY_S = 3.0
AGAIN_S = 60.0
"""Longer than the longest pause of an engine that the cluster did not answer."""
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Else each engine binds its thread to the first core, and workers need a NUMA node each.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


class Fleet:
    """`store` writes, `load` starts later and has no cache of its own, `changing` is whatever a
    case makes of it; more by `start`. References are those of engines without a connector."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._engines: dict[str, VllmEngine] = {}
        self._references: dict[tuple[Path, str, tuple[int, ...], int], Output] = {}
        self._models: dict[str, Path] = {}
        self._client: holdfast.Cluster | None = None

    @property
    def client(self) -> holdfast.Cluster:
        """A client of the tenant that engines use."""
        if self._client is None:
            self._client = self._bed.cluster.connect()
        return self._client

    def model(self, name: str, make: Callable[..., Path] = make_model, **options: Any) -> Path:
        """The folder of a model, made when it is first asked for; see `make_model`."""
        if name not in self._models:
            self._models[name] = make(self._bed.directory / name, **options)
        return self._models[name]

    @property
    def full(self) -> Path:
        """The model whose layers all see the whole context."""
        return self.model("full")

    def kv(self, **settings: Any) -> dict[str, Any]:
        """Settings of the connector: every hit is taken, so that they can be counted."""
        return {
            **self._bed.reach,
            "offer": "always",
            "load_deadline_ms": LOAD_DEADLINE_MS,
            **settings,
        }

    def spec(self, **arguments: Any) -> EngineSpec:
        """An engine of the full model with the connector."""
        return replace(EngineSpec(self.full, self.kv()), **arguments)

    @property
    def store(self) -> VllmEngine:
        """Asynchronous, with vLLM's own prefix cache."""
        return self.start("store", self.spec())

    @property
    def load(self) -> VllmEngine:
        """Asynchronous, without it: whatever is not in the cluster is computed."""
        return self.start("load", self.spec(prefix_caching=False))

    def start(self, name: str, spec: EngineSpec, driver: str = "vllm_engine") -> VllmEngine:
        """The engine called `name`; a process of its own, started on the first call, and again
        after a case in which it ended."""
        known = self._engines.get(name)
        if known is None or known.driven.process.poll() is not None:
            request = {"do": "engine", "spec": spec.arguments()}
            driven = self._bed.start("vllm", driver, request, _ENVIRONMENT)
            self._engines[name] = VllmEngine(driven, spec)
        return self._engines[name]

    def changing(self, spec: EngineSpec) -> VllmEngine:
        """The process whose engine is replaced: with `spec` from now on."""
        engine = self.start("changing", spec)
        if engine.spec != spec:
            engine.rebuild(spec)
        return engine

    def references(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int = OUTPUT_TOKENS,
        *,
        model: Path | None = None,
        dtype: str = "float32",
    ) -> list[Output]:
        """What an engine without Holdfast answers. model: the full one by default."""
        folder = model or self.full
        keys = [(folder, dtype, tuple(prompt.tokens), max_tokens) for prompt in prompts]
        missing = [
            (key, prompt)
            for key, prompt in zip(keys, prompts, strict=True)
            if key not in self._references
        ]
        if missing:
            spec = EngineSpec(folder, prefix_caching=False, dtype=dtype)
            engine = self.changing(spec)
            outputs = engine.generate([prompt for _, prompt in missing], max_tokens)
            self._references.update(zip((key for key, _ in missing), outputs, strict=True))
        return [self._references[key] for key in keys]

    def stored(
        self, engine: VllmEngine, prompts: Sequence[Prompt], present: int = 0
    ) -> StoredBlocks:
        """Lets `engine` compute prompts that it has not seen, and waits until their full blocks
        are in the cluster; answers those that it stored (and what was stored behind them, if
        anything). present: blocks that are there before."""
        before = len(engine.puts())
        wanted = sum(prompt.blocks for prompt in prompts) - present

        def put_blocks() -> StoredBlocks | None:
            puts = engine.puts()[before:]
            keys = {(put["space"], key) for put in puts for key in put["keys"]}
            if len(keys) < wanted:
                return None
            found = StoredBlocks.of_puts(self.client, puts)
            return found if found.are_stored() else None

        def stored() -> StoredBlocks | None:
            # Again if need be: a node that was away for another case may just have come back.
            engine.generate(prompts)
            with contextlib.suppress(holdfast.DeadlineExceeded):
                return wait_for("its blocks", put_blocks, TRY_S)
            return None

        return wait_for(f"store of {wanted} blocks", stored, AGAIN_S)

    def hits(self, engine: VllmEngine, asked: Prompt) -> int:
        """Tokens of a prompt that are found in the cluster by now."""
        counted = Counted(engine)
        engine.generate([asked], 1)
        return counted.external_hits()

    def hits_again(self, store: VllmEngine, load: VllmEngine, seed: int) -> int:
        """Lets `store` compute prompts until one of them is hit in `load`, after a fault; answers
        how many it took. Raises DeadlineExceeded."""
        numbers = itertools.count(1)

        def tried() -> int:
            # Each time another one: what could not be loaded is not offered again for a while.
            number = next(numbers)
            asked = Prompt(prompt(seed * 10_000 + number, 200))
            store.generate([asked])
            with contextlib.suppress(holdfast.DeadlineExceeded):
                wait_for("a hit", lambda: self.hits(load, asked) == asked.hit_tokens, TRY_S)
                return number
            return 0

        return wait_for("hits after the fault", tried, AGAIN_S)

    def close(self) -> None:
        """Ends the client; the engines are the bed's."""
        if self._client is not None:
            self._client.close()
