"""Storage backend of SGLang's hierarchical cache: what falls out of host memory, Holdfast holds.

--enable-hierarchical-cache --hicache-mem-layout page_first
--hicache-storage-backend dynamic --hicache-storage-backend-extra-config '{
  "backend_name": "holdfast", "module_path": "holdfast.engines.sglang",
  "class_name": "HoldfastStorage", "interface_v1": 1, "hicache_storage_pass_prefix_keys": true,
  "address": "10.0.0.1:7300", "tenant": "team-a", "key": "file:/etc/holdfast/key"}'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.engines.on_request import on_request

if TYPE_CHECKING:
    from holdfast.engines.sglang.storage import HoldfastStorage

__all__ = ["HoldfastStorage"]

__getattr__ = on_request(__name__, "HoldfastStorage", "holdfast.engines.sglang.storage")
