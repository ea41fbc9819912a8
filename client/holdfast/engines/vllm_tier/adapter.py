"""vLLM's side of the tier: its interface in terms of our own classes, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from vllm.config import VllmConfig
from vllm.distributed.kv_transfer.kv_connector.v1.offloading.canonical_mapping import (
    canonical_format_id,
)
from vllm.distributed.kv_transfer.kv_connector.v1.offloading.metrics import OffloadingConnectorStats
from vllm.logger import init_logger
from vllm.platforms import current_platform
from vllm.v1.kv_offload.base import (
    Locality,
    LookupResult,
    OffloadingCounterMetadata,
    OffloadingMetricMetadata,
    RequestOffloadingContext,
    get_offload_group_idx,
)
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager, TransferJob

from holdfast.engines.counters import Counters
from holdfast.engines.door import CLOSE_S
from holdfast.engines.fingerprint import Facts
from holdfast.engines.link import Link
from holdfast.engines.opening import Opening
from holdfast.engines.slow_facts import SlowFacts
from holdfast.engines.vllm.model import (
    check_scales,
    hash_facts,
    label_of,
    model_facts,
    name_of_weights,
)
from holdfast.engines.vllm_tier.answers import Answer
from holdfast.engines.vllm_tier.identity import kernel_facts, row_facts
from holdfast.engines.vllm_tier.rows import Rows, RowShape
from holdfast.engines.vllm_tier.settings import TierSettings
from holdfast.engines.vllm_tier.tier import Tier
from holdfast.errors import ConfigInvalid

_RESULTS = {
    Answer.HIT: LookupResult.HIT,
    Answer.MISS: LookupResult.MISS,
    Answer.LATER: LookupResult.RETRY,
}
_BLOCKS = "vllm:kv_offload_holdfast_blocks"
_EVENTS = "vllm:kv_offload_holdfast_events"


class HoldfastTier(SecondaryTierManager):
    """Keeps in a Holdfast cluster what vLLM's primary tier holds and loses.

    Loaded by `{"type": "HoldfastTier", "module_path": "holdfast.engines.vllm_tier"}` in
    `secondary_tiers`; further entries are `TierSettings`. Raises ConfigInvalid for settings that
    are wrong, and Unsupported for engines whose blocks could not be told apart by their keys.
    """

    def __init__(
        self,
        offloading_spec: Any,
        primary_kv_view: memoryview,
        tier_type: str,
        backpressure_detector: Any = None,
        **config: Any,
    ) -> None:
        super().__init__(offloading_spec, primary_kv_view, tier_type, backpressure_detector)
        settings = TierSettings.of(config)
        self.locality = Locality(settings.locality)
        offloading = offloading_spec.config
        engine = engine_of(offloading.extra_config)
        shape = RowShape(self.block_size_bytes, _used_bytes(offloading_spec))
        check_scales(engine)
        settings.check_adapters(serves_lora=engine.lora_config is not None)
        weights = name_of_weights(engine, settings)
        facts = {
            **_facts(engine, offloading, settings),
            "used_bytes": shape.used_bytes,
            "parts": shape.parts,
        }
        self._group_chunk_tokens = {
            group.group_id: group.tokens_per_block * offloading.cache.blocks_per_chunk
            for group in offloading.groups
        }
        rows = Rows(primary_kv_view, shape, CLOSE_S)
        link = Link(settings, Counters(), init_logger("vllm.holdfast_tier"))
        self._counters = link.counters
        self._used_bytes = shape.used_bytes
        slow = SlowFacts(link, lambda: {"weights": weights()})
        label = f"{label_of(engine)}.tier"
        opening = Opening(link, label, facts, slow, shape.part_bytes)
        self.tier = Tier(settings, link, rows, opening.door)

    # ------------------------------------------------------------------------ requests

    def on_new_request(self, req_context: Any) -> RequestOffloadingContext:
        """See SecondaryTierManager."""
        self.tier.request_began(req_context.req_id)
        return RequestOffloadingContext()

    def on_request_finished(self, req_context: Any) -> None:
        """See SecondaryTierManager."""
        self.tier.request_ended(req_context.req_id)

    def lookup(self, key: bytes, req_context: Any) -> LookupResult:
        """See SecondaryTierManager."""
        return _RESULTS[self.tier.lookup(key, req_context.req_id)]

    def on_schedule_end(self, context: Any) -> None:
        """See SecondaryTierManager."""
        self.tier.end_step()

    # ------------------------------------------------------------------------ jobs

    def submit_store(self, job_metadata: TransferJob) -> None:
        """See SecondaryTierManager."""
        keys = list(job_metadata.keys)
        groups = [get_offload_group_idx(key) for key in keys]
        positions = [
            self._position(job_metadata.req_context, key, group)
            for key, group in zip(keys, groups, strict=True)
        ]
        self.tier.save(job_metadata.job_id, keys, job_metadata.chunk_ids, groups, positions)

    def _position(self, req_context: Any, key: bytes, group: int) -> int:
        end_token = req_context.get_offload_key_position(key) or 1
        return int((end_token - 1) // self._group_chunk_tokens.get(group, 1))

    def submit_load(self, job_metadata: TransferJob) -> None:
        """See SecondaryTierManager."""
        self.tier.load(job_metadata.job_id, list(job_metadata.keys), job_metadata.chunk_ids)

    def get_finished_jobs(self) -> Iterable[JobResult]:
        """See SecondaryTierManager."""
        return [
            JobResult(
                job_id=end.job,
                success=not end.bad,
                successful_keys=end.good if end.bad and end.good else None,
                transfer_time=end.seconds,
                transfer_bytes=len(end.good) * self._used_bytes,
            )
            for end in self.tier.finished()
        ]

    def drain_jobs(self) -> None:
        """See SecondaryTierManager."""
        self.tier.drain()

    def shutdown(self) -> None:
        """See SecondaryTierManager. Raises DeadlineExceeded while a call uses the memory."""
        self.tier.close()

    # ------------------------------------------------------------------------ counters

    @classmethod
    def build_metric_definitions(
        cls, extra_config: dict[str, Any]
    ) -> dict[str, OffloadingMetricMetadata]:
        """See SecondaryTierManager."""
        return {
            _BLOCKS: OffloadingCounterMetadata(
                documentation="Blocks looked up, saved and loaded in the Holdfast cluster, by "
                "what became of them.",
                labelnames=("operation", "outcome"),
            ),
            _EVENTS: OffloadingCounterMetadata(
                documentation="What else the Holdfast tier counts: outages, bytes, refusals.",
                labelnames=("event",),
            ),
        }

    def get_stats(self) -> OffloadingConnectorStats | None:
        """See SecondaryTierManager."""
        stats = OffloadingConnectorStats()
        for name, amount in self._counters.take_news().items():
            operation, _, outcome = name.partition("_")
            if outcome == "blocks_good":
                stats.increase_counter(_BLOCKS, amount, (operation, "good"))
            elif outcome.startswith("bad/"):
                stats.increase_counter(_BLOCKS, amount, (operation, outcome.removeprefix("bad/")))
            elif outcome != "blocks_bad":  # told by reason
                stats.increase_counter(_EVENTS, amount, (name,))
        return None if stats.is_empty() else stats


def engine_of(extra_config: Any) -> Any:
    """The configuration of the engine that is making a tier with `extra_config`.

    vLLM hands a tier a part of its configuration only. What else changes the values of blocks
    (overrides, quantization, revision, hash scheme, LoRA) is in the whole, which those who called
    the tier's constructor hold: looked for there, and the tier is refused without it.
    """
    frame = sys._getframe(1)
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if isinstance(value, VllmConfig) and _configures(value, extra_config):
                return value
        frame = frame.f_back  # type: ignore[assignment]
    raise ConfigInvalid(
        "the configuration of the engine was not found, without which blocks cannot be told "
        "apart: this version of vLLM makes its tiers in a way that this tier does not know"
    )


def _configures(engine: Any, extra_config: Any) -> bool:
    transfer = engine.kv_transfer_config
    return transfer is not None and transfer.kv_connector_extra_config == extra_config


def _used_bytes(spec: Any) -> int:
    """Bytes of a row that hold something; the rest is there for alignment."""
    offloading = spec.config
    copies = 1 if spec.replicated_layout else offloading.parallel.world_size
    return int(offloading.worker_kv_bytes_per_block * copies * offloading.cache.blocks_per_chunk)


def _facts(engine: Any, offloading: Any, settings: TierSettings) -> Facts:
    canonical = (
        canonical_format_id(offloading.kv_cache_layout) if offloading.canonical_layout else None
    )
    return {
        **row_facts(offloading, canonical),
        **model_facts(engine, settings),
        **hash_facts(engine),
        **kernel_facts(engine),
        "device": current_platform.device_type,
        "instructions": _instructions(),
    }


def _instructions() -> list[Any]:
    """On CPUs pages are packed by what the processor can do."""
    if current_platform.device_type != "cpu":
        return []
    import torch

    return [
        torch.backends.cpu.get_cpu_capability(),
        bool(torch.cpu._is_amx_tile_supported()),
    ]
