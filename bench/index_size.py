"""Memory that the engine needs beside the payload, at the worst point of its growth."""

from __future__ import annotations

import holdfast_native
from bench.bed import MIB
from bench.figure import Bound, Figure

# The smallest slot: the more blocks in the arena, the more the index weighs.
BLOCK_BYTES = 64
EXTENT_BYTES = 16 * MIB


def measure(blocks: int) -> list[Figure]:
    """Bytes a block while the engine fills up, and while half of it is replaced by eviction."""
    arena_bytes = -(-blocks * BLOCK_BYTES // EXTENT_BYTES) * EXTENT_BYTES
    engine = holdfast_native.Engine(
        arena_bytes=arena_bytes,
        block_bytes=BLOCK_BYTES,
        extent_bytes=EXTENT_BYTES,
        prefault=False,
    )
    filled_s, fill_bytes_max = engine.fill(0, blocks)
    replaced_s, evict_bytes_max = engine.fill(blocks, blocks // 2)
    worst = max(fill_bytes_max, evict_bytes_max) / blocks
    beside = {
        "blocks": f"{blocks:,}",
        "filled": f"{fill_bytes_max / blocks:.2f} B",
        "evicting": f"{evict_bytes_max / blocks:.2f} B",
        "puts": f"{blocks / filled_s / 1e6:.2f} M/s",
        "puts that evict": f"{blocks / 2 / replaced_s / 1e6:.2f} M/s",
        "lookups": f"{engine.lookup_rate(blocks, 4000) / 1e6:.1f} M/s",
    }
    bound = Bound(40, 32, at_least=False)
    return [Figure("index_bytes_per_block", "B", [worst], bound, beside)]
