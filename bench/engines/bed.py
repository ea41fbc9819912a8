"""What engines are measured on: a cluster of processes, two engines, a raw TCP stream beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import holdfast
from bench.engines import pinned_model
from bench.engines.resident import Resident
from bench.engines.wire import Wire
from tests.engines.real.tiny_model import VOCABULARY
from tests.engines.real.vllm_engine import BLOCK_TOKENS, EngineSpec

__all__ = ["BLOCK_TOKENS", "LAYOUT", "Bed", "LoadMode", "bed", "facts"]

LoadMode = Literal["async", "sync"]

LAYOUT = holdfast.LocalLayout(data_nodes=2, arena_mib=1536)
_BLOCKS = 384
_WARM_TOKENS = 2_080
_LENGTH_MAX = 8_704
_BATCHED_TOKENS = 2_048
"""The default of vLLM's server on this platform: longer prompts are computed in chunks."""


@dataclass(slots=True)
class Bed:
    """Two engines of the same model, one of them with the connector."""

    ours: Resident
    plain: Resident
    """Without a connector."""
    wire: Wire
    seed: int
    """Of the prompts."""
    asked: int = 0

    def new_prompt(self, tokens: int) -> Sequence[int]:
        """A prompt that nobody has seen."""
        self.asked += 1
        random = np.random.default_rng((self.seed, self.asked))
        return [int(token) for token in random.integers(1, VOCABULARY, tokens)]

    def warm_up(self) -> None:
        """Each block of both engines' caches is written once: memory is slower the first time."""
        for engine in (self.ours, self.plain):
            for prompts in (5, 1):
                engine.ask([self.new_prompt(_WARM_TOKENS) for _ in range(prompts)], 1)


@contextmanager
def bed(directory: Path, load: LoadMode, transport: str, seed: int) -> Iterator[Bed]:
    """Starts the bed and stops it on leaving. directory: for the model and logs."""
    model = pinned_model.make(directory / "model")
    with ExitStack() as stack:
        cluster = stack.enter_context(holdfast.LocalCluster(LAYOUT))
        wire = stack.enter_context(Wire.start())
        connector = {
            "address": cluster.address,
            "tenant": cluster.tenant,
            "key": f"file:{cluster.directory / 'tenant.key'}",
            "transport": transport,
            "load": load,
            "offer": "always",
        }
        engines = []
        for name, settings in (("connector", connector), ("plain", None)):
            engine = Resident(name, _spec(model, settings), directory)
            stack.callback(engine.close)
            engine.wait_until_ready()
            engines.append(engine)
        here = Bed(engines[0], engines[1], wire, seed)
        here.warm_up()
        yield here


def facts(load: LoadMode, transport: str) -> dict[str, object]:
    """What a reader of the figures must know of the bed."""
    return {
        "block_tokens": BLOCK_TOKENS,
        "batched_tokens": _BATCHED_TOKENS,
        "threads": 1,
        "data_nodes": LAYOUT.data_nodes,
        "transport": transport,
        "load": load,
    }


def _spec(model: Path, connector: Mapping[str, object] | None) -> EngineSpec:
    return EngineSpec(
        model,
        connector,
        batched_tokens=_BATCHED_TOKENS,
        blocks=_BLOCKS,
        length=_LENGTH_MAX,
        dtype=pinned_model.DTYPE,
    )
