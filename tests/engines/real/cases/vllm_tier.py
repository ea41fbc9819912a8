"""vLLM's own offloading with Holdfast as its secondary tier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.stored_blocks import STORED_S
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import BLOCK_TOKENS, Counted, EngineSpec, Prompt

NODES_S = 60.0
PRIMARY_BYTES = 128 << 20
WINDOW = 128


@dataclass(frozen=True, slots=True)
class TierSpec(EngineSpec):
    """An engine whose `kv` are settings of the tier."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `vllm.LLM`."""
        tier = {
            "type": "HoldfastTier",
            "module_path": "holdfast.engines.vllm_tier",
            **(self.kv or {}),
        }
        offloading = {
            "spec_name": "HostCopySpec",
            "spec_module_path": "tests.engines.real.drivers.vllm_tier_spec",
            "cpu_bytes_to_use": PRIMARY_BYTES,
            "secondary_tiers": [tier],
        }
        transfer = {
            "kv_connector": "OffloadingConnector",
            "kv_role": "kv_both",
            "kv_connector_extra_config": offloading,
        }
        return {**EngineSpec.arguments(self), "kv_transfer_config": transfer}


def spec_of(bed: Bed, model: Path) -> TierSpec:
    """An engine of `model` that stores in the bed's cluster; its own cache shows its pages."""
    return TierSpec(model, {**bed.reach, "load_deadline_ms": 2_000, "start_wait_ms": 30_000})


def fresh_process(bed: Bed) -> list[Row]:
    """Store through the primary tier in one process, load in another that starts later."""
    fleet = bed.fleet
    prompts = [Prompt(prompt(seed, tokens)) for seed, tokens in ((70, 1000), (71, 2000), (72, 200))]
    references = fleet.references(prompts)
    spec = spec_of(bed, fleet.full)
    verdict = Verdict("tier_store_fresh_load_identical")
    store = fleet.changing(spec)
    counted = Counted(store)
    blocks = fleet.stored(store, prompts)
    verdict.equal("external hits while storing", counted.external_hits(), 0)
    verdict.saw(f"{len(blocks.keys)} blocks stored")
    stored_pages = store.pages()

    load = fleet.start("tier", spec)
    counted = Counted(load)
    verdict.outputs(load.generate(prompts), references)
    verdict.hits(counted.external_hits(), sum(each.hit_tokens for each in prompts))
    wanted = sum(each.hit_tokens for each in prompts) // BLOCK_TOKENS
    grown = counted.grown()
    verdict.holds(f"{wanted} blocks loaded", grown.get("load_blocks_good", 0) >= wanted)
    metric = "vllm:kv_offload_holdfast_blocks_total"
    verdict.holds(f"{metric} counts them", grown.get(metric, 0) >= wanted)
    same = len(stored_pages & load.pages())
    verdict.saw(f"{same} blocks of both engines' caches are equal byte by byte")
    verdict.holds(f"{wanted} of them", same >= wanted)
    return [verdict.row()]


def node_killed(bed: Bed) -> list[Row]:
    """A data node dies between the start of a promotion and its end."""
    fleet = bed.fleet
    asked = Prompt(prompt(73, 1500))
    references = fleet.references([asked])
    spec = spec_of(bed, fleet.full)
    fleet.stored(fleet.changing(spec), [asked])
    load = fleet.start("tier", spec)
    verdict = Verdict("tier_node_killed")
    victim = bed.cluster.data_nodes[1]
    counted = Counted(load)
    # It stands still first, so that the load does not end before it dies.
    name = load.begin_load([asked], victim.pause)
    victim.kill()
    outputs = load.end(name)
    verdict.outputs(outputs, references)
    grown = counted.grown()
    verdict.saw(f"first token after {outputs[0].first_s:.1f} s")
    verdict.holds("blocks that were not loaded are counted", grown.get("load_blocks_bad", 0) > 0)
    verdict.holds("blocks of the others were loaded", grown.get("load_blocks_good", 0) > 0)
    again = Prompt(prompt(74, 500))
    verdict.outputs(load.generate([again]), fleet.references([again]))
    victim.restart()
    bed.cluster.wait_for_nodes(len(bed.cluster.data_nodes), NODES_S)
    return [verdict.row()]


def sliding_window(bed: Bed) -> list[Row]:
    """Three KV groups in one row: what windows have lost is not needed, the rest is loaded."""
    fleet = bed.fleet
    model = fleet.model("window", layers=6, sliding_window=WINDOW)
    asked = [Prompt(prompt(75, 1000)), Prompt(prompt(76, 600))]
    references = fleet.references(asked, model=model)
    spec = spec_of(bed, model)
    verdict = Verdict("tier_sliding_window_hits")
    store = fleet.changing(spec)
    store.generate(asked)
    least = sum(each.blocks for each in asked)
    wait_for("store", lambda: store.counters().get("save_blocks_good", 0) > least, STORED_S)
    keys = [bytes.fromhex(key) for put in store.puts() for key in put["keys"]]
    verdict.saw(f"{len(keys)} blocks of {len({key[-4:] for key in keys})} groups stored")
    load = fleet.start("tier", spec)
    if load.spec != spec:
        load.rebuild(spec)
    counted = Counted(load)
    verdict.outputs(load.generate(asked), references)
    verdict.hits(counted.external_hits(), sum(each.hit_tokens for each in asked))
    return [verdict.row()]


CASES = [
    Case("vllm-tier", "vllm", fresh_process, estimate_s=150),
    Case("vllm-tier-node-killed", "vllm", node_killed, estimate_s=90),
    Case("vllm-tier-sliding-window", "vllm", sliding_window, estimate_s=120),
]
