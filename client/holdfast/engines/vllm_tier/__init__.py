"""Secondary tier of vLLM's own offloading: vLLM keeps GPU copies and eviction, Holdfast holds
what falls out of the primary tier.

    --kv-transfer-config '{"kv_connector": "OffloadingConnector", "kv_role": "kv_both",
      "kv_connector_extra_config": {"spec_name": "TieringOffloadingSpec",
        "cpu_bytes_to_use": 10737418240, "secondary_tiers": [
          {"type": "HoldfastTier", "module_path": "holdfast.engines.vllm_tier",
           "address": "10.0.0.1:7300", "tenant": "team-a", "key": "file:/etc/holdfast/key"}]}}'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.engines.on_request import on_request

if TYPE_CHECKING:
    from holdfast.engines.vllm_tier.adapter import HoldfastTier

__all__ = ["HoldfastTier"]

__getattr__ = on_request(__name__, "HoldfastTier", "holdfast.engines.vllm_tier.adapter")
