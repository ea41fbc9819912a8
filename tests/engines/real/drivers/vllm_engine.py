"""A vLLM engine that stays, so that many cases share one process.

Reads a line of JSON at a time and answers each with one; prompts are computed meanwhile. Requests:
`engine` (another one in the place of the present one), `generate`, `abort`, `counters`, `reset`
(of vLLM's own prefix cache), `pages`, `puts`, `hold`, `go`, `exit`. The first line is an `engine`.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TextIO

RESULT = "HOLDFAST_RESULT "
SETTLE_S = 15.0
"""How long an engine without requests may still wait for what it stores."""


@dataclass(slots=True)
class Wanted:
    """One `generate` under way."""

    name: str
    requests: list[str]
    tell_after: int | None
    began: float = field(default_factory=time.monotonic)
    left: set[str] = field(default_factory=set)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def note(self, output: Any) -> bool:
        """Takes an output of the engine; True once the first request has `tell_after` tokens."""
        now, name = time.monotonic(), output.request_id
        tokens = len(output.outputs[0].token_ids)
        known = self.outputs.setdefault(name, {"first_s": now - self.began, "gap_s_max": 0.0})
        if tokens > self.seen.get(name, 0):
            known["gap_s_max"] = max(known["gap_s_max"], now - self.last.get(name, now))
            self.last[name] = now
        before, self.seen[name] = self.seen.get(name, 0), tokens
        if output.finished:
            self._end(known, output)
            self.left.discard(name)
        after = self.tell_after
        return after is not None and name == self.requests[0] and before < after <= tokens

    def _end(self, known: dict[str, Any], output: Any) -> None:
        made = output.outputs[0]
        known["tokens"] = list(made.token_ids)
        known["reason"] = made.finish_reason
        known["cached"] = output.num_cached_tokens
        known["logprobs"] = [
            step[token].logprob
            for token, step in zip(made.token_ids, made.logprobs or [], strict=False)
        ]

    def answer(self) -> dict[str, Any]:
        """What is told once all have ended."""
        outputs = [self.outputs.get(name, {}) for name in self.requests]
        return {"id": self.name, "outputs": outputs, "seconds": time.monotonic() - self.began}


class Engine:
    """vLLM's offline engine, stepped here so that requests can come at any time."""

    def __init__(self, told: TextIO) -> None:
        from tests.engines.real.drivers.door_watch import DoorWatch

        self.watch = DoorWatch(self.tell)
        self.watch.install()
        self._told = told
        self._lock = threading.Lock()
        self._llm: Any = None
        self._wanted: dict[str, Wanted] = {}
        self._settling_until = 0.0

    def tell(self, value: dict[str, Any]) -> None:
        """Writes one line for whoever started this."""
        with self._lock:
            self._told.write(RESULT + json.dumps(value) + "\n")
            self._told.flush()

    def build(self, spec: dict[str, Any]) -> None:
        """Makes the engine of `spec`, arguments of vLLM's; the present one ends."""
        from vllm import LLM

        self.close()
        self.watch.forget()
        began = time.monotonic()
        self._llm = LLM(**spec)
        self.tell({"ready": True, "seconds": time.monotonic() - began})

    def close(self) -> None:
        """Ends the engine, and with it its connector."""
        if self._llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    @property
    def busy(self) -> bool:
        """Whether to step it: requests are under way, or blocks that it stores are held."""
        if self._wanted:
            return True
        return time.monotonic() < self._settling_until and self._holds_blocks()

    def _holds_blocks(self) -> bool:
        core = getattr(self._llm.llm_engine.engine_core, "engine_core", None)
        return core is not None and core.scheduler.has_requests()

    def generate(self, request: dict[str, Any]) -> None:
        """Starts to compute prompts; answered once all have ended."""
        from vllm import SamplingParams, TokensPrompt

        name = request["id"]
        wanted = Wanted(name, [], request.get("tell_after"))
        for number, asked in enumerate(request["prompts"]):
            prompt = TokensPrompt(prompt_token_ids=asked["tokens"])
            if asked.get("salt"):
                prompt["cache_salt"] = asked["salt"]
            params = SamplingParams(
                temperature=0.0,
                max_tokens=request["max_tokens"],
                ignore_eos=True,
                logprobs=1,
                detokenize=False,
            )
            wanted.requests.append(f"{name}-{number}")
            self._llm.llm_engine.add_request(wanted.requests[-1], prompt, params)
        wanted.left = set(wanted.requests)
        self._wanted[name] = wanted

    def abort(self, name: str) -> None:
        """Ends a `generate` early."""
        wanted = self._wanted.pop(name, None)
        if wanted is not None:
            self._llm.llm_engine.abort_request(wanted.requests)
            self.tell(wanted.answer())

    def step(self) -> None:
        """Lets the engine go one step and tells what has ended."""
        for output in self._llm.llm_engine.step():
            wanted = self._wanted.get(output.request_id.rpartition("-")[0])
            if wanted is None:
                continue
            if wanted.note(output):
                self.tell({"id": wanted.name, "event": "decoding"})
            if not wanted.left:
                del self._wanted[wanted.name]
                self._settling_until = time.monotonic() + SETTLE_S
                self.tell(wanted.answer())

    def answer(self, request: dict[str, Any]) -> None:
        """Does what a line asks for."""
        match request["do"]:
            case "engine":
                self.build(request["spec"])
            case "generate":
                self.generate(request)
            case "abort":
                self.abort(request["id"])
            case "counters":
                self.tell({"counters": {**_vllm_counters(), **self.watch.counters()}})
            case "reset":
                self.tell({"reset": bool(self._llm.reset_prefix_cache())})
            case "reload":
                named = {"weights_path": request["path"]}
                self._llm.collective_rpc("reload_weights", kwargs=named)
                self.tell({"reloaded": bool(self._llm.reset_prefix_cache())})
            case "pages":
                self.tell({"pages": _pages(self._llm)})
            case "puts":
                self.tell({"puts": self.watch.puts})
            case "hold":
                self.watch.hold()
                self.tell({"held": True})


def _vllm_counters() -> dict[str, float]:
    """Every counter and gauge of vLLM's own metrics, over all labels."""
    from prometheus_client import REGISTRY

    sums: dict[str, float] = {}
    for metric in REGISTRY.collect():
        if metric.type not in ("counter", "gauge"):
            continue
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _pages(llm: Any) -> list[str]:
    """SHA-256 of each block in vLLM's own prefix cache, one layer's page behind the other's."""
    import torch

    core = llm.llm_engine.engine_core.engine_core
    layers = core.model_executor.driver_worker.worker.model_runner.kv_caches
    cached = core.scheduler.kv_cache_manager.block_pool.cached_block_hash_to_block._cache
    digests = []
    for found in cached.values():
        for block in found.values() if isinstance(found, dict) else (found,):
            digest = hashlib.sha256()
            for layer in layers:
                digest.update(layer[block.block_id].contiguous().view(torch.uint8).numpy().data)
            digests.append(digest.hexdigest())
    return digests


def _read_lines(engine: Engine, lines: SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "go":
            engine.watch.go()
        else:
            lines.put(request)
    lines.put({"do": "exit"})


def main() -> None:
    """Answers lines until `exit` or the end of the input."""
    # What vLLM prints must not fall between our lines.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = Engine(told)
    lines: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_read_lines, args=(engine, lines), daemon=True).start()
    while True:
        try:
            # A step that has nothing to compute returns at once: it must not spin.
            request = lines.get(timeout=0.0005 if engine.busy else None)
        except Empty:
            engine.step()
            continue
        if request["do"] == "exit":
            break
        engine.answer(request)
    engine.close()
    engine.tell({"ended": True})


if __name__ == "__main__":
    main()
