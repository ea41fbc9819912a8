"""vLLM's tiered offloading on a machine without a GPU: the stock worker copies by CUDA only.

Everything but the copy between vLLM's KV tensors and the primary tier is vLLM's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from vllm.v1.kv_offload.base import OffloadingWorker, TransferResult
from vllm.v1.kv_offload.cpu.shared_offload_region import SharedOffloadRegion
from vllm.v1.kv_offload.tiering.spec import TieringOffloadingSpec


class HostCopyWorker(OffloadingWorker):
    """Copies at once, on the thread that asks."""

    def __init__(self, kv_caches: Any, blocks_per_chunk: int, region: Any) -> None:
        self._groups = kv_caches.group_data_refs
        self._blocks_per_chunk = blocks_per_chunk
        self._region = region
        self._pages = [
            cache.tensor.view(torch.int8).view(-1, cache.page_size_bytes)
            for cache in kv_caches.tensors
        ]
        self._rows = [
            region.create_next_worker_view(cache.page_size_bytes * blocks_per_chunk)
            for cache in kv_caches.tensors
        ]
        self._done: list[TransferResult] = []

    def submit_store(self, job_id: int, src_spec: Any, dst_spec: Any) -> bool:
        """From the KV tensors."""
        for page, row in self._pairs(src_spec, dst_spec.chunk_ids):
            row.copy_(page)
        self._done.append(TransferResult(job_id, True))
        return True

    def submit_load(self, job_id: int, src_spec: Any, dst_spec: Any) -> bool:
        """Into the KV tensors."""
        for page, row in self._pairs(dst_spec, src_spec.chunk_ids):
            page.copy_(row)
        self._done.append(TransferResult(job_id, True))
        return True

    def _pairs(self, blocks: Any, chunks: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The page of each block in each tensor, and its place in the row of its chunk."""
        per_chunk, block_ids, chunk_ids = self._blocks_per_chunk, iter(blocks.block_ids), chunks
        for refs, size, first in zip(
            self._groups, blocks.group_sizes, blocks.block_indices, strict=True
        ):
            skipped = first % per_chunk
            for number in range(skipped, skipped + size):
                block, chunk = int(next(block_ids)), int(chunk_ids[number // per_chunk])
                for ref in refs:
                    page = self._pages[ref.tensor_idx]
                    start = number % per_chunk * page.shape[1]
                    row = self._rows[ref.tensor_idx][chunk, start : start + ref.page_size_bytes]
                    yield page[block, : ref.page_size_bytes], row
            chunk_ids = chunk_ids[-(-(skipped + size) // per_chunk) if size else 0 :]

    def get_finished(self) -> list[TransferResult]:
        """Every job since the last call."""
        done, self._done = self._done, []
        return done

    def wait(self, job_ids: set[int]) -> None:
        """Nothing is under way."""

    def shutdown(self) -> None:
        """Lets the primary tier go."""
        self._rows.clear()
        self._region.cleanup()


class HostCopySpec(TieringOffloadingSpec):
    """Tiered offloading with that worker."""

    def get_worker(self, kv_caches: Any) -> OffloadingWorker:
        """The worker; its part of each row is that of its rank."""
        region = SharedOffloadRegion(
            engine_id=self._engine_id,
            num_chunks=self.num_chunks,
            rank=self.config.parallel.rank,
            kv_bytes_per_chunk=self.kv_bytes_per_chunk,
            cpu_page_size=self.cpu_page_size_per_worker,
        )
        return HostCopyWorker(kv_caches, self.blocks_per_chunk, region)
