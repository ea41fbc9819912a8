"""Whether chunk hashes start from a number that other processes know."""

from __future__ import annotations

import os
import sys

_VLLM_HASHES = "vllm.v1.core.kv_cache_utils"


def starts_at_random() -> bool:
    """Whether LMCache has taken a start of its hashes that is random in each process.

    Where vLLM is installed beside LMCache's server, the hash before the first chunk is vLLM's.
    Older versions of it draw a random one unless PYTHONHASHSEED is set, whatever the algorithm.
    Nothing is imported: only what LMCache has loaded is looked at.
    """
    hashes = sys.modules.get(_VLLM_HASHES)
    taken = getattr(hashes, "NONE_HASH", None) is not None
    fixed = hasattr(hashes, "DEFAULT_NONE_HASH_SEED") or "PYTHONHASHSEED" in os.environ
    return taken and not fixed
