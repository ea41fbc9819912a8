"""The file in which `holdfast up` leaves how to reach the cluster, so that flags are not needed."""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from holdfast.errors import ConfigInvalid
from holdfast.local_cluster.directory import write_private
from holdfast.local_cluster.toml_text import toml_text
from holdfast_kvstore.config_size import check_config_size


def default_path() -> Path:
    """`$XDG_CONFIG_HOME/holdfast/context.toml`, or below `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "holdfast" / "context.toml"


@dataclass(frozen=True, slots=True)
class ContextFile:
    """Addresses and references to secrets; empty where a command line must say it."""

    address: str = ""
    """Metadata members, `host:port` joined by commas."""
    tenant: str = ""
    key: str = ""
    """Of the tenant's API key: "file:PATH" or "env:NAME"."""
    secret: str = ""
    """Of the cluster's secret: "file:PATH" or "env:NAME"."""
    authority: str = ""
    """PEM file of the authority that signed the members' certificates."""

    def store(self, path: Path) -> None:
        """Writes it so that only its owner may read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, toml_text(asdict(self)).rstrip("\n"))

    @classmethod
    def load(cls, path: Path) -> ContextFile:
        """Reads a file that `store` wrote; empty if there is none. Raises ConfigInvalid."""
        try:
            check_config_size(path)
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"context file {path} cannot be read: {error}") from error
        if path.stat().st_mode & 0o077:
            raise ConfigInvalid(
                f"context file {path} can be read by others: run `chmod 600 {path}`"
            )
        known = {field.name for field in fields(cls)}
        for name, value in values.items():
            if name not in known or not isinstance(value, str):
                raise ConfigInvalid(
                    f"context file {path}: {name} is not one of {', '.join(sorted(known))} as text"
                )
        return cls(**values)
