"""An engine that stays for a whole run, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.engines.real.driven import Driven, DriverError
from tests.engines.real.vllm_engine import EngineSpec

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "engines" / "vllm" / "bin" / "python"
_DRIVER = Path(__file__).resolve().parent / "driver.py"
_START_S = 300.0
_ANSWER_S = 300.0
_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Else each engine binds its thread to the first core, beside whatever else runs there.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Weights in huge pages: in small ones two engines that are alike differ by 5 %, for as long as
    # they live, by where their pages happen to lie (0.4 % so).
    "THP_MEM_ALLOC_ENABLE": "1",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answered to prompts that were asked together."""

    tokens: Sequence[Sequence[int]]
    """By prompt."""
    times: Sequence[Sequence[float]]
    """By prompt, seconds from the question to each token."""
    steps: int
    """Of the engine, those in which something was computed."""
    drain_s: float
    """Seconds behind the last token until all that is stored was stored."""
    grown: Mapping[str, float]
    """Counters of vLLM, and of the connector by event, until the last token."""
    grown_until_drained: Mapping[str, float]

    @property
    def first_s(self) -> float:
        """Until the first token of the only prompt."""
        (times,) = self.times
        return times[0]

    @property
    def external_hits(self) -> int:
        """Tokens that vLLM counted as found by its connector."""
        return int(self.grown.get("vllm:external_prefix_cache_hits_total", 0))

    @property
    def local_hits(self) -> int:
        """Tokens that vLLM found in its own cache."""
        return int(self.grown.get("vllm:prefix_cache_hits_total", 0))


class Resident:
    """Speaks with bench/engines/driver.py. Everything raises DriverError when it ends."""

    def __init__(self, name: str, spec: EngineSpec, directory: Path) -> None:
        """Starts it; `wait_until_ready` before the first question. directory: for its log."""
        self.name = name
        log = directory / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [PYTHON, "-u", _DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=directory,
                env={**os.environ, **_ENVIRONMENT, "PATH": f"{PYTHON.parent}:{os.environ['PATH']}"},
                text=True,
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"spec": spec.arguments()}) + "\n")
        process.stdin.flush()
        self._driven = Driven(process, log)

    def wait_until_ready(self) -> None:
        """Until it is up."""
        self._driven.next_result(_START_S)

    def ask(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> Answer:
        """Lets it compute prompts together; back when also their blocks are stored."""
        self._driven.say(
            {"do": "ask", "prompts": [list(each) for each in prompts], "max_tokens": max_tokens}
        )
        return Answer(**self._driven.next_result(_ANSWER_S))

    def forget(self) -> None:
        """Empties vLLM's own prefix cache; the cluster keeps what it has."""
        self._driven.say({"do": "reset"})
        if not self._driven.next_result(_ANSWER_S)["reset"]:
            raise DriverError("vLLM's prefix cache was not emptied: blocks are still in use")

    def close(self) -> None:
        """Ends it."""
        self._driven.close()
