"""vLLM's interface for KV connectors, over the two sides that do the work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, TypeVar, cast

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorHandshakeMetadata,
    KVConnectorMetadata,
    KVConnectorRole,
    KVConnectorTransferResults,
    KVConnectorWorkerMetadata,
    SupportsHMA,
)
from vllm.platforms import current_platform

from holdfast.engines.counters import Counters
from holdfast.engines.link import Link
from holdfast.engines.vllm.facts import engine_facts
from holdfast.engines.vllm.layout import Layout, layout_of
from holdfast.engines.vllm.record import BoundaryState
from holdfast.engines.vllm.scheduler_side import SchedulerSide
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.stats import HoldfastPromMetrics, HoldfastStats
from holdfast.engines.vllm.step import Report, Step
from holdfast.engines.vllm.worker_side import Received, WorkerSide
from holdfast.errors import Unsupported

_LOG = logging.getLogger("vllm.holdfast")
H = TypeVar("H", bound=Callable[..., Any])


@dataclass
class HoldfastMetadata(KVConnectorMetadata):
    """From the scheduler's side to the workers', each step."""

    step: Step | None


@dataclass
class HoldfastWorkerMetadata(KVConnectorWorkerMetadata):
    """From the workers' side to the scheduler's, each step."""

    report: Report

    def aggregate(self, other: KVConnectorWorkerMetadata) -> KVConnectorWorkerMetadata:
        """One report for all workers."""
        assert isinstance(other, HoldfastWorkerMetadata)
        self.report.join(other.report)
        return self


@dataclass
class HoldfastShards(KVConnectorHandshakeMetadata):
    """From each worker to the scheduler's side, once: what it holds, or why it holds nothing."""

    shards: tuple[Shard, ...]
    reason: str


def _timed(hook: H) -> H:
    """Counts the processor time that a hook takes from the engine's thread."""

    @wraps(hook)
    def timed(self: HoldfastConnector, *arguments: Any, **named: Any) -> Any:
        began = time.thread_time_ns()
        try:
            return hook(self, *arguments, **named)
        finally:
            self._spent(time.thread_time_ns() - began)

    return cast(H, timed)


def _reset(scheduler: SchedulerSide, reset: Callable[[], bool]) -> bool:
    scheduler.let_go()
    return reset()


class HoldfastConnector(KVConnectorBase_V1, SupportsHMA):
    """Keeps KV blocks in a Holdfast cluster. See docs/engines.md for its settings.

    Raises ConfigInvalid at start for settings that are wrong, and for block hashes that no other
    process could ever find.
    """

    def __init__(self, vllm_config: Any, role: KVConnectorRole, kv_cache_config: Any) -> None:
        super().__init__(vllm_config, role, kv_cache_config)
        extra = self._kv_transfer_config.kv_connector_extra_config or {}
        self._settings = VllmSettings.of(extra)
        self._counters = Counters()
        self._scheduler: SchedulerSide | None = None
        self._worker: WorkerSide | None = None
        self._shards = HoldfastShards((), "")
        self._received = Received()
        self._hook = f"hook_seconds/{role.name.lower()}"
        self._link: Link | None = None
        self._layout = self._read_layout()
        if self._layout is not None:
            self._link = Link(self._settings, self._counters, _LOG)
            if role == KVConnectorRole.SCHEDULER:
                self._scheduler = SchedulerSide(
                    self._settings,
                    self._link,
                    self._layout.groups,
                    self._layout.align,
                    self._layout.hash_tokens,
                    vllm_config.parallel_config.world_size,
                )

    def _read_layout(self) -> Layout | None:
        try:
            return layout_of(self._vllm_config, self._kv_cache_config)
        except Unsupported as error:
            _LOG.error("serving goes on without Holdfast: %s", error)
            self._counters.add("unsupported")
            return None

    def _spent(self, nanoseconds: int) -> None:
        self._counters.add(self._hook, nanoseconds / 1e9)

    # ------------------------------------------------------------------------ of both sides

    @property
    def requires_kv_delivery(self) -> bool:
        """A save that is dropped is a later miss, and no more."""
        return False

    @classmethod
    def get_required_kvcache_layout(cls, vllm_config: Any) -> str | None:
        """All layers of a block side by side, where the engine can: one segment a block."""
        return None if current_platform.is_cpu() else "BLNHC"

    def get_kv_connector_stats(self) -> HoldfastStats | None:
        """What was counted since the last call."""
        news = self._counters.take_news()
        return HoldfastStats(data=news) if news else None

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> HoldfastStats:
        """The counters of another process."""
        return HoldfastStats(data=data or {})

    @classmethod
    def build_prom_metrics(cls, *arguments: Any) -> HoldfastPromMetrics:
        """The counters at the engine's endpoint."""
        return HoldfastPromMetrics(*arguments)

    def shutdown(self) -> None:
        """Ends what is under way: saves within their deadline."""
        if self._worker is not None:
            self._worker.close()
        if self._scheduler is not None:
            self._scheduler.close()
        if self._link is not None:
            self._link.close()

    # ------------------------------------------------------------------------ scheduler's side

    def bind_gpu_block_pool(self, gpu_block_pool: Any) -> None:
        """The pool whose blocks are held while they are stored."""
        if self._scheduler is None:
            return
        self._scheduler.bind(gpu_block_pool)
        if not self._kv_cache_config.needs_kv_cache_zeroing:
            # The engine has no hook for it, and fails where a block is still held then. (Where
            # it zeroes blocks it may do so before workers hear of the next step.)
            reset = gpu_block_pool.reset_prefix_cache
            gpu_block_pool.reset_prefix_cache = partial(_reset, self._scheduler, reset)

    def set_xfer_handshake_metadata_pp_aware(self, metadata: Any) -> None:
        """What every worker holds."""
        for told in metadata.values():
            if told.reason:
                _LOG.error("serving goes on without Holdfast: %s", told.reason)
                self._scheduler = None
        if self._scheduler is not None and self._layout is not None:
            shards = [shard for told in metadata.values() for shard in told.shards]
            facts = partial(engine_facts, self._vllm_config, self._layout, self._settings)
            self._scheduler.spaces.gather(shards, facts)

    @_timed
    def on_new_request(self, request: Any) -> None:
        """Asks at once what is stored of it."""
        if self._scheduler is not None:
            self._scheduler.arrived(request)

    @_timed
    def get_num_new_matched_tokens(
        self, request: Any, num_computed_tokens: int
    ) -> tuple[int | None, bool]:
        """None until the cluster has answered."""
        if self._scheduler is None:
            return 0, False
        return self._scheduler.matched(request, num_computed_tokens)

    @_timed
    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        """Notes where the blocks are to be loaded."""
        if self._scheduler is not None and num_external_tokens:
            self._scheduler.allocated(request, blocks.get_block_ids(), num_external_tokens)

    @_timed
    def build_connector_meta(self, scheduler_output: Any) -> HoldfastMetadata:
        """The workers' orders for this step."""
        if self._scheduler is None:
            return HoldfastMetadata(None)
        assert self._kv_cache_manager is not None
        offers = getattr(scheduler_output, "kv_connector_block_state", None)
        states = {} if offers is None else offers.boundary_state_offloads
        step = self._scheduler.step(
            scheduler_output.num_scheduled_tokens,
            self._kv_cache_manager.get_block_ids,
            {name: [BoundaryState(*each) for each in found] for name, found in states.items()},
        )
        return HoldfastMetadata(step)

    @_timed
    def update_connector_output(self, connector_output: Any) -> None:
        """Hears the workers."""
        told = connector_output.kv_connector_worker_meta
        if self._scheduler is not None and told is not None:
            self._scheduler.heard(told.report)

    @_timed
    def request_finished_all_groups(
        self, request: Any, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        """Its blocks may be freed: those that are being stored are held by their own count."""
        if self._scheduler is not None:
            self._scheduler.finished(request, block_ids)
        return False, None

    def request_finished(
        self, request: Any, block_ids: list[int]
    ) -> tuple[bool, dict[str, Any] | None]:
        """As `request_finished_all_groups`, of an engine with one KV group."""
        return self.request_finished_all_groups(request, (block_ids,))

    def has_pending_push_work(self) -> bool:
        """Whether the engine must go on stepping to hear of saves."""
        return self._scheduler is not None and self._scheduler.busy

    def reset_cache(self) -> bool | None:
        """The weights changed: nothing stored so far is used any more."""
        if self._scheduler is not None:
            self._scheduler.reset()
        return True

    def take_events(self) -> Iterable[Any]:
        """None: what the cluster holds is asked, not told."""
        return ()

    # ------------------------------------------------------------------------ worker's side

    def register_kv_caches(self, kv_caches: dict[str, Any]) -> None:
        """Registers the engine's memory and tries what its bytes look like."""
        if self._layout is None or self._link is None:
            return
        from holdfast.engines.vllm.weight_changes import watch_weights
        from holdfast.engines.vllm.worker_setup import worker_of

        try:
            self._worker, shards = worker_of(
                self._vllm_config,
                self._kv_cache_config,
                self._layout,
                self._link,
                self._settings,
                kv_caches,
            )
            self._shards = HoldfastShards(tuple(shards), "")
            watch_weights(self._worker.weights_changed)
        except Unsupported as error:
            self._shards = HoldfastShards((), str(error))

    def get_handshake_metadata(self) -> HoldfastShards:
        """What this worker holds."""
        return self._shards

    def handle_preemptions(self, kv_connector_metadata: KVConnectorMetadata) -> None:
        """A step begins, before it touches any block."""
        assert isinstance(kv_connector_metadata, HoldfastMetadata)
        if self._worker is not None and kv_connector_metadata.step is not None:
            self._worker.begin(kv_connector_metadata.step)

    @_timed
    def start_load_kv(self, forward_context: Any, **_: Any) -> None:
        """Starts loads; whole blocks, so that no layer needs a hook of its own."""
        step = self._step()
        if self._worker is not None and step is not None:
            self._worker.load(step)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing: what a forward needs is there before it begins."""

    def save_kv_layer(self, layer_name: str, kv_layer: Any, attn_metadata: Any, **_: Any) -> None:
        """Nothing: blocks are stored when all their layers are computed."""

    @_timed
    def wait_for_save(self) -> None:
        """Starts saves."""
        step = self._step()
        if self._worker is not None and step is not None:
            self._worker.save(step)

    @_timed
    def get_transfer_results(self, finished_req_ids: set[str]) -> KVConnectorTransferResults:
        """Loads that have ended."""
        if self._worker is None:
            return KVConnectorTransferResults()
        self._received = self._worker.receive(finished_req_ids)
        several = self._layout is not None and len(self._layout.groups) > 1
        return KVConnectorTransferResults(
            finished_recving=set(self._received.requests),
            failed_recving=self._received.failed & self._received.requests if several else set(),
        )

    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        """As `get_transfer_results`, for engines that ask in this form."""
        return None, self.get_transfer_results(finished_req_ids).finished_recving or None

    def get_block_ids_with_load_errors(self) -> set[int]:
        """Blocks that were not read. Their numbers tell nothing where there are several groups:
        there the requests are named instead."""
        several = self._layout is not None and len(self._layout.groups) > 1
        return set() if several else self._received.invalid_blocks

    @_timed
    def build_connector_worker_meta(self) -> HoldfastWorkerMetadata | None:
        """What the scheduler's side should hear."""
        return None if self._worker is None else HoldfastWorkerMetadata(self._worker.report())

    def _step(self) -> Step | None:
        metadata = self._connector_metadata
        return metadata.step if isinstance(metadata, HoldfastMetadata) else None
