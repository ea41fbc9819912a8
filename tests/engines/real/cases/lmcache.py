"""LMCache: its own benchmark drives the adapter; its server has its second level in Holdfast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed, Driven
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, EngineSpec, Prompt, VllmEngine

ENGINE = "lmcache"
DRIVER = "lmcache_server"
CHUNK_TOKENS = 64
CHUNKS = 8
"""Whole chunks of each prompt."""
OBJECTS = 3 * 64
"""Of each operation of the benchmark: rounds of four batches of 16."""
HEAL_S = 30.0
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "LMCACHE_TRACK_USAGE": "false",
}
LOOKUP_S_MAX = 3.0
"""Longest lookup while a node is down: the adapter's deadlines and LMCache's own polling."""


def run(bed: Bed) -> Iterator[Row]:
    """One driver process for all rows; it starts LMCache's."""
    driven = bed.start(ENGINE, DRIVER, {"do": "server", "params": _params(bed)})
    try:
        driven.next_result()
        yield _fresh_server_loads_what_another_stored(bed, driven)
        yield _a_node_is_killed(bed, driven)
        yield _benchmark(bed, driven)
    finally:
        driven.close()


def _params(bed: Bed) -> dict[str, Any]:
    return {**bed.reach, "space": "lmcache", "kv_dtype": "float16", "model_revision": "seeded"}


def _ask(driven: Driven, do: str, **more: Any) -> Any:
    driven.say({"do": do, **more})
    return driven.next_result()


def _benchmark(bed: Bed, driven: Driven) -> Row:
    verdict = Verdict("lmcache_bench_l2")
    # It uses the same keys for both sizes, and must not get the bytes of the other.
    for object_kib in (1024, 96):
        seen = _ask(driven, "bench_l2", params=_params(bed), object_kib=object_kib)
        verdict.equal("exit status", seen["status"], 0)
        verdict.equal("objects verified", seen["verified"], 64)
        for operation, objects in (("Store", OBJECTS), ("Lookup", OBJECTS // 2), ("Load", OBJECTS)):
            told = seen["operations"].get(operation, {})
            verdict.equal(f"{operation} of {object_kib} KiB", told.get("good"), objects)
            if operation != "Lookup":
                verdict.saw(f"{operation} of {object_kib} KiB {told.get('mb_per_s')} MB/s")
    return verdict.row()


def _fresh_server_loads_what_another_stored(bed: Bed, driven: Driven) -> Row:
    verdict = Verdict("lmcache_server_store_fresh_load_identical")
    prompts = [1, 2, 3]
    stored = _ask(driven, "store", prompts=prompts, seed=1)
    verdict.holds("LMCache stored every prompt", all(stored["stored"].values()))
    _ask(driven, "server", params=_params(bed))
    loaded = _ask(driven, "load", prompts=[*prompts, 4], seed=2)
    tokens = CHUNK_TOKENS * sum(loaded["chunks"].values())
    verdict.hits(tokens, CHUNK_TOKENS * CHUNKS * len(prompts))
    verdict.equal("chunks of a prompt that nobody stored", loaded["chunks"]["4"], 0)
    verdict.holds("every byte is the stored one", _same(stored, loaded, prompts))
    verdict.holds("LMCache loaded what it had found", all(loaded["loaded"].values()))
    return verdict.row()


def _a_node_is_killed(bed: Bed, driven: Driven) -> Row:
    verdict = Verdict("lmcache_node_killed")
    prompts = list(range(11, 19))
    stored = _ask(driven, "store", prompts=prompts, seed=3)
    _ask(driven, "forget")
    node = bed.cluster.data_nodes[0]
    node.kill()
    try:
        lost = _ask(driven, "load", prompts=prompts, seed=4)
        again = _ask(driven, "store", prompts=[21], seed=5)
    finally:
        node.restart()
        bed.cluster.wait_for_nodes(len(bed.cluster.data_nodes))
    chunks = sum(lost["chunks"].values())
    verdict.saw(f"{chunks} of {CHUNKS * len(prompts)} chunks were found without the node")
    verdict.holds("chunks of the node are misses", chunks < CHUNKS * len(prompts))
    verdict.holds("every byte that was loaded is the stored one", _same(stored, lost, prompts))
    verdict.holds("LMCache loaded what it had found", all(lost["loaded"].values()))
    slowest = max(lost["lookup_s"].values())
    verdict.saw(f"slowest lookup {slowest:.2f} s")
    verdict.holds(f"no lookup took {LOOKUP_S_MAX} s", slowest < LOOKUP_S_MAX)
    verdict.holds("LMCache itself stores on", all(again["stored"].values()))
    # Clients come back to a node within a pause; LMCache does not try a store again.
    later = iter(range(31, 1000))
    wait_for("a whole prompt in all nodes", lambda: _is_whole(driven, next(later)), HEAL_S)
    return verdict.row()


def _is_whole(driven: Driven, prompt: int) -> bool:
    """Whether a new prompt is stored and found in all its chunks."""
    _ask(driven, "store", prompts=[prompt], seed=prompt)
    _ask(driven, "forget")
    loaded = _ask(driven, "load", prompts=[prompt], seed=prompt + 1)
    return bool(loaded["chunks"][str(prompt)] == CHUNKS)


def _same(stored: Any, loaded: Any, prompts: Sequence[int]) -> bool:
    """Whether each chunk that was loaded holds the bytes that were stored."""
    return all(
        loaded["digests"][str(prompt)]
        == stored["digests"][str(prompt)][: loaded["chunks"][str(prompt)]]
        for prompt in prompts
    )


# ---------------------------------------------------------------------------- with vLLM


@dataclass(frozen=True, slots=True)
class WithLmcache(EngineSpec):
    """An engine whose connector is LMCache's."""

    port: int = 0
    """Of LMCache's server."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `vllm.LLM`."""
        connector = {
            "kv_connector": "LMCacheMPConnector",
            "kv_role": "kv_both",
            "kv_connector_extra_config": {
                "lmcache.mp.host": "tcp://127.0.0.1",
                "lmcache.mp.port": self.port,
                # An engine that ends says so to its server, which is gone by then.
                "lmcache.mp.mq_timeout": 10.0,
            },
        }
        # Not super(): a slotted dataclass is not the class in which the method was written.
        return {**EngineSpec.arguments(self), "kv_transfer_config": connector}


def run_with_vllm(bed: Bed) -> Iterator[Row]:
    """vLLM, LMCache's connector, its server, the adapter; then a fresh server, a fresh engine."""
    verdict = Verdict("lmcache_vllm_fresh_load")
    model = bed.fleet.full
    params = {**bed.reach, "space": "lmcache", "kv_dtype": "float32", "weights": str(model)}
    servers = bed.start(ENGINE, DRIVER, {"do": "server", "params": params})
    engine = None
    try:
        spec = WithLmcache(model, prefix_caching=False, port=servers.next_result()["port"])
        driven = bed.start(
            ENGINE, "lmcache_vllm", {"do": "engine", "spec": spec.arguments()}, ENVIRONMENT
        )
        engine = VllmEngine(driven, spec)
        prompts = [Prompt(prompt(seed, 600 + 50 * seed)) for seed in range(3)]
        computed = engine.generate(prompts)
        _ask(servers, "settle")
        port = _ask(servers, "server", params=params)["port"]
        engine.rebuild(replace(spec, port=port))
        counted = Counted(engine)
        loaded = engine.generate(prompts)
        whole = sum(len(one.tokens) // CHUNK_TOKENS * CHUNK_TOKENS for one in prompts)
        verdict.hits(counted.external_hits(), whole)
        verdict.outputs(loaded, computed)
    finally:
        if engine is not None:
            engine.close()
        servers.close()
    yield verdict.row()


CASES = [
    Case("lmcache", ENGINE, run, estimate_s=90.0),
    Case("lmcache_vllm", ENGINE, run_with_vllm, estimate_s=120.0),
]
