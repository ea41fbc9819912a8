"""vLLM: `--kv-transfer-config '{"kv_connector": "HoldfastConnector", "kv_connector_module_path":
"holdfast.engines.vllm", "kv_role": "kv_both", "kv_load_failure_policy": "recompute", ...}'`.

See docs/engines.md. `SchedulerSide` decides, `WorkerSide` moves blocks, `HoldfastConnector` is
the engine's interface over both.
"""

from typing import TYPE_CHECKING

from holdfast.engines.on_request import on_request

if TYPE_CHECKING:
    from holdfast.engines.vllm.connector import HoldfastConnector

__all__ = ["HoldfastConnector"]

__getattr__ = on_request(__name__, "HoldfastConnector", "holdfast.engines.vllm.connector")
