"""A vLLM engine in a process of its own, as a case sees it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines.real.driven import ANSWER_S, Driven, DriverError

BLOCK_TOKENS = 32
OUTPUT_TOKENS = 32
_EXTERNAL_HITS = "vllm:external_prefix_cache_hits_total"
_LOCAL_HITS = "vllm:prefix_cache_hits_total"
_PREEMPTIONS = "vllm:num_preemptions_total"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Arguments of an engine that cases vary."""

    model: Path
    kv: Mapping[str, Any] | None = None
    """Settings of the connector; None: no connector."""
    prefix_caching: bool = True
    """vLLM's own, in memory."""
    batched_tokens: int = 2048
    """Tokens of one step: longer prompts are computed in chunks."""
    blocks: int = 2048
    """Blocks of vLLM's own cache."""
    length: int = 8192
    """Longest prompt with its output."""
    workers: int = 1
    dtype: str = "float32"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `vllm.LLM`."""
        found: dict[str, Any] = {
            "model": str(self.model),
            "skip_tokenizer_init": True,
            "dtype": self.dtype,
            "enforce_eager": True,
            "block_size": BLOCK_TOKENS,
            "max_model_len": self.length,
            "max_num_seqs": 8,
            "max_num_batched_tokens": self.batched_tokens,
            "num_gpu_blocks_override": self.blocks,
            "tensor_parallel_size": self.workers,
            "enable_prefix_caching": self.prefix_caching,
            "prefix_caching_hash_algo": "sha256_cbor",
            "disable_log_stats": False,
        }
        if self.kv is not None:
            found["kv_transfer_config"] = connector(self.kv)
        return found


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, and the salt of its cache keys if there is one."""

    tokens: Sequence[int]
    salt: str | None = None

    @property
    def hit_tokens(self) -> int:
        """Tokens of its full blocks that a load can bring: one token is always computed."""
        return (len(self.tokens) - 1) // BLOCK_TOKENS * BLOCK_TOKENS

    @property
    def blocks(self) -> int:
        """Its full blocks."""
        return len(self.tokens) // BLOCK_TOKENS


@dataclass(frozen=True, slots=True)
class Output:
    """What the engine answered to one prompt."""

    tokens: list[int]
    logprobs: list[float]
    """Of each token, natural logarithm."""
    first_s: float = 0.0
    """Until the first token."""
    gap_s_max: float = 0.0
    """Longest time from one token to the next."""


def connector(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The transfer configuration that loads Holdfast's connector."""
    return {
        "kv_connector": "HoldfastConnector",
        "kv_connector_module_path": "holdfast.engines.vllm",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": dict(settings),
    }


class VllmEngine:
    """Speaks with drivers/vllm_engine.py. Everything raises DriverError when it ends."""

    def __init__(self, driven: Driven, spec: EngineSpec) -> None:
        """driven: just started with the engine of `spec`."""
        self.driven = driven
        self.spec = spec
        self._names = (f"g{number}" for number in itertools.count())
        self._unread: list[dict[str, Any]] = []
        self._read("ready")

    def rebuild(self, spec: EngineSpec) -> None:
        """Another engine in the place of this one, in the same process."""
        self.driven.say({"do": "engine", "spec": spec.arguments()})
        self._read("ready")
        self.spec = spec

    def generate(self, prompts: Sequence[Prompt], max_tokens: int = OUTPUT_TOKENS) -> list[Output]:
        """Computes prompts together, greedily."""
        return self.end(self.begin(prompts, max_tokens))

    def begin(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int = OUTPUT_TOKENS,
        tell_after: int | None = None,
    ) -> str:
        """Starts to compute prompts. tell_after: "decoding" is told after so many tokens."""
        name = next(self._names)
        asked = [{"tokens": list(prompt.tokens), "salt": prompt.salt} for prompt in prompts]
        self.driven.say(
            {
                "do": "generate",
                "id": name,
                "prompts": asked,
                "max_tokens": max_tokens,
                "tell_after": tell_after,
            }
        )
        return name

    def end(self, name: str) -> list[Output]:
        """The outputs of what was begun as `name`, once all have ended."""
        told = self._matching(lambda told: told.get("id") == name and "outputs" in told)
        return [
            Output(output["tokens"], output["logprobs"], output["first_s"], output["gap_s_max"])
            for output in told["outputs"]
        ]

    def abort(self, name: str) -> None:
        """Ends what was begun as `name` early."""
        self.driven.say({"do": "abort", "id": name})
        self._matching(lambda told: told.get("id") == name and "outputs" in told)

    def wait_for(self, event: str) -> None:
        """Until it tells "decoding", "loading" or "started"."""
        self._matching(lambda told: told.get("event") == event)

    def hold(self) -> None:
        """The next load tells "loading", waits for `go`, starts and tells "started"."""
        self.driven.say({"do": "hold"})
        self._read("held")

    def go(self) -> None:
        """Lets a held load start."""
        self.driven.say({"do": "go"})

    def begin_load(self, prompts: Sequence[Prompt], disturb: Callable[[], object]) -> str:
        """As `begin`; a load of theirs is surely under way when this returns. disturb: called
        before it starts."""
        self.hold()
        name = self.begin(prompts)
        self.wait_for("loading")
        disturb()
        self.go()
        self.wait_for("started")
        return name

    def reset(self) -> None:
        """Empties vLLM's own prefix cache."""
        self.driven.say({"do": "reset"})
        if not self._read("reset"):
            raise DriverError("vLLM's prefix cache was not reset: blocks are still in use")

    def reload(self, model: Path) -> None:
        """Replaces the weights in place, and empties vLLM's own prefix cache only."""
        self.driven.say({"do": "reload", "path": str(model)})
        if not self._read("reloaded"):
            raise DriverError("vLLM's prefix cache was not reset: blocks are still in use")

    def puts(self) -> list[dict[str, Any]]:
        """Every put of its doors so far: space, keys (hexadecimal), first_position."""
        self.driven.say({"do": "puts"})
        return list(self._read("puts"))

    def pages(self) -> set[str]:
        """SHA-256 of every block in vLLM's own prefix cache, all layers of its group."""
        self.driven.say({"do": "pages"})
        return set(self._read("pages"))

    def counters(self) -> Mapping[str, float]:
        """vLLM's metrics and those of Holdfast in its process, sums since the start."""
        self.driven.say({"do": "counters"})
        return dict(self._read("counters"))

    def close(self) -> int:
        """Ends it in order; answers its exit status."""
        return self.driven.close()

    def _read(self, field: str) -> Any:
        return self._matching(lambda told: field in told)[field]

    def _matching(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for place, told in enumerate(self._unread):
            if wanted(told):
                return self._unread.pop(place)
        end = time.monotonic() + ANSWER_S
        while True:
            told = self.driven.next_result(max(0.0, end - time.monotonic()))
            if wanted(told):
                return dict(told)
            self._unread.append(told)


@dataclass(slots=True)
class Counted:
    """What an engine's counters grew by since this was made."""

    engine: VllmEngine
    before: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.engine.counters()

    def grown(self) -> dict[str, float]:
        """Growth of every counter that grew."""
        now = self.engine.counters()
        grown = {name: value - self.before.get(name, 0.0) for name, value in now.items()}
        return {name: value for name, value in grown.items() if value}

    def external_hits(self) -> int:
        """Tokens that vLLM counted as found by its connector."""
        return int(self.grown().get(_EXTERNAL_HITS, 0))

    def local_hits(self) -> int:
        """Tokens that vLLM found in its own cache."""
        return int(self.grown().get(_LOCAL_HITS, 0))

    def preemptions(self) -> int:
        """Requests that lost their blocks to others."""
        return int(self.grown().get(_PREEMPTIONS, 0))
