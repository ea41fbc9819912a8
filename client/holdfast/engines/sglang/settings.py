"""What an operator can set in `--hicache-storage-backend-extra-config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from holdfast.engines.host_cache_settings import HostCacheSettings

_ENGINE_OWN = frozenset(
    {
        *("backend_name", "module_path", "class_name", "allocator", "tp_lcm_size"),
        *("prefetch_threshold", "prefetch_timeout_base", "prefetch_timeout_per_ki_token"),
        "hicache_storage_pass_prefix_keys",
    }
)
"""Entries that SGLang reads itself."""


class SglangSettings(HostCacheSettings):
    """Settings of this door beside the common ones."""

    interface_v1: Literal[1, True]
    """SGLang then hands out places in its host memory; without it, it copies every page."""

    @classmethod
    def of_extra_config(cls, extra_config: Mapping[str, Any] | None) -> SglangSettings:
        """Reads what SGLang passes on, without its own entries. Raises ConfigInvalid that names
        every setting that is wrong."""
        given = {
            key: value for key, value in (extra_config or {}).items() if key not in _ENGINE_OWN
        }
        settings = cls.of(given)
        assert isinstance(settings, cls)
        return settings
