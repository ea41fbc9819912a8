"""A bound for the configuration files that programs read whole."""

from __future__ import annotations

from pathlib import Path

from holdfast_kvstore.errors import ConfigInvalid

CONFIG_BYTES_MAX = 1 << 20


def check_config_size(path: Path) -> None:
    """Raises ConfigInvalid unless `path` is a regular file of at most `CONFIG_BYTES_MAX` bytes:
    others, such as devices, may never end. Raises OSError if there is no such file."""
    size = path.stat().st_size
    if not path.is_file():
        raise ConfigInvalid(f"configuration {path} is not a regular file")
    if size > CONFIG_BYTES_MAX:
        raise ConfigInvalid(
            f"configuration {path} has {size} bytes, at most {CONFIG_BYTES_MAX} are read"
        )
