"""vLLM: `--kv-transfer-config '{"kv_connector": "HoldfastConnector", "kv_connector_module_path":
"holdfast.engines.vllm", "kv_role": "kv_both", "kv_load_failure_policy": "recompute", ...}'`.

See docs/engines.md. `SchedulerSide` decides, `WorkerSide` moves blocks, `HoldfastConnector` is
the engine's interface over both.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.engines.vllm.connector import HoldfastConnector

__all__ = ["HoldfastConnector"]


def __getattr__(name: str) -> Any:
    # The sides can be used, and tested, without vLLM.
    if name == "HoldfastConnector":
        from holdfast.engines.vllm.connector import HoldfastConnector

        return HoldfastConnector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
