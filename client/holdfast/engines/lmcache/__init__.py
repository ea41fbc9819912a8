"""LMCache's multi-process server keeps its second level in the cluster.

A class for LMCache's `native_plugin` adapter; one flag of `lmcache server`, no code:

    --l2-adapter '{"type": "native_plugin", "module_path": "holdfast.engines.lmcache",
                   "class_name": "HoldfastPlugin",
                   "adapter_params": {"address": "10.0.0.1:7300", "tenant": "team-a",
                                      "key": "file:/etc/holdfast/team-a.key",
                                      "kv_dtype": "bfloat16", "model_revision": "2026-01"}}'

`adapter_params` are the fields of `LmcacheSettings`. `kv_dtype` must be given: LMCache tells a
plugin nothing but names and bytes, and bfloat16 and float16 have the same size. Two models with the
same name and different weights need `weights` (the checkpoint's folder) or `model_revision`, or one
would get the KV cache of the other.

LMCache's default `--hash-algorithm blake3` is stable between processes. `builtin` is neither stable
nor free of collisions and is refused, and so are other algorithms where vLLM cannot be imported:
LMCache takes `builtin` in their place. With an older vLLM installed beside it, LMCache's server
needs PYTHONHASHSEED=0 in its environment, and an error says so.

LMCache's names do not cover LoRA adapters: give each a model name or a cache salt of its own.

Nothing of LMCache is imported here.
"""

from holdfast.engines.lmcache.plugin import HoldfastPlugin
from holdfast.engines.lmcache.settings import LmcacheSettings

__all__ = ["HoldfastPlugin", "LmcacheSettings"]
