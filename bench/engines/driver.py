"""A vLLM engine that answers one question at a time; runs in the engine's own environment.

Reads a line of JSON at a time: first the arguments of the engine, then `ask` (prompts are computed
together, and what they store is stored before the answer) or `reset` (of vLLM's own prefix cache).
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import defaultdict
from threading import Event
from typing import Any

RESULT = "HOLDFAST_RESULT "
IDLE_PAUSE_S = 0.001
"""As in vLLM's own loop: after a step in which nothing could be computed."""
ANSWER_S = 240.0
DRAIN_S = 30.0
_OURS = "vllm:holdfast_total"


class Engine:
    """vLLM's offline engine, stepped here so that the time of each token is seen."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        """arguments: of `vllm.LLM`."""
        from vllm import LLM

        self._llm = LLM(**arguments)
        self._core = self._llm.llm_engine.engine_core.engine_core
        self._pause = Event()
        self._asked = 0
        # As vLLM's server does: what is there after the start need not be looked at again.
        gc.collect()
        gc.freeze()

    def ask(self, prompts: list[list[int]], max_tokens: int) -> dict[str, Any]:
        """Computes prompts together, greedily.

        Answers tokens and the times at which each was there (seconds since all were handed in) by
        prompt; steps that computed something; growth of counters; seconds until all was stored.
        """
        self._asked += 1
        names = [f"{self._asked}-{number}" for number in range(len(prompts))]
        times: dict[str, list[float]] = {name: [] for name in names}
        tokens: dict[str, list[int]] = {}
        before, steps = _counters(), 0
        began = time.perf_counter()
        for name, prompt in zip(names, prompts, strict=True):
            self._add(name, prompt, max_tokens)
        while len(tokens) < len(prompts):
            outputs, computed = self._step()
            now = time.perf_counter() - began
            steps += computed
            for output in outputs:
                made = output.outputs[0].token_ids
                times[output.request_id] += [now] * (len(made) - len(times[output.request_id]))
                if output.finished:
                    tokens[output.request_id] = list(made)
            if now > ANSWER_S:
                raise TimeoutError(f"no answer within {ANSWER_S} s")
        after = _counters()
        drain_s = self._drain()
        return {
            "tokens": [tokens[name] for name in names],
            "times": [times[name] for name in names],
            "steps": steps,
            "drain_s": drain_s,
            "grown": {name: value - before.get(name, 0.0) for name, value in after.items()},
            "grown_until_drained": {
                name: value - before.get(name, 0.0) for name, value in _counters().items()
            },
        }

    def reset(self) -> bool:
        """Empties vLLM's own prefix cache; whether it could."""
        return bool(self._llm.reset_prefix_cache())

    def close(self) -> None:
        """Ends the engine."""
        self._llm.llm_engine.engine_core.shutdown()

    def _add(self, name: str, prompt: list[int], max_tokens: int) -> None:
        from vllm import SamplingParams, TokensPrompt

        params = SamplingParams(
            temperature=0.0, max_tokens=max_tokens, ignore_eos=True, detokenize=False
        )
        self._llm.llm_engine.add_request(name, TokensPrompt(prompt_token_ids=prompt), params)

    def _step(self) -> tuple[list[Any], bool]:
        outputs = self._llm.llm_engine.step()
        computed = bool(outputs) or bool(self._core.scheduler.running)
        if not computed:
            self._pause.wait(IDLE_PAUSE_S)
        return outputs, computed

    def _drain(self) -> float:
        """Lets it step until nothing is being stored any more, so that the next question finds
        the machine quiet."""
        began = time.perf_counter()
        while self._core.scheduler.has_requests():
            self._step()
            if time.perf_counter() - began > DRAIN_S:
                raise TimeoutError(f"blocks were not stored within {DRAIN_S} s")
        return time.perf_counter() - began


def _counters() -> dict[str, float]:
    """vLLM's counters by name, and those of the connector by event."""
    from prometheus_client import REGISTRY

    sums: dict[str, float] = defaultdict(float)
    for metric in REGISTRY.collect():
        if metric.type != "counter":
            continue
        for sample in metric.samples:
            if sample.name == _OURS:
                sums[sample.labels["event"]] += sample.value
            elif sample.name.endswith("_total"):
                sums[sample.name] += sample.value
    return dict(sums)


def main() -> None:
    """Answers lines until the end of the input."""
    # What vLLM prints must not fall between our lines.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(value: dict[str, Any]) -> None:
        told.write(RESULT + json.dumps(value) + "\n")
        told.flush()

    engine = Engine(json.loads(sys.stdin.readline())["spec"])
    tell({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "reset":
            tell({"reset": engine.reset()})
        else:
            tell(engine.ask(request["prompts"], request["max_tokens"]))
    engine.close()


if __name__ == "__main__":
    main()
