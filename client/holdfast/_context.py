"""How to reach a cluster when a caller does not say: environment first, then the context file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from holdfast.errors import ConfigInvalid
from holdfast_kvstore.config_size import check_config_size

CONTEXT_VARIABLE = "HOLDFAST_CONTEXT"


def default_path() -> Path:
    """`$XDG_CONFIG_HOME/holdfast/context.toml`, or below `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "holdfast" / "context.toml"


@dataclass(frozen=True, slots=True)
class Context:
    """Addresses and references to secrets; empty where nobody has said it."""

    address: str = ""
    """Metadata members, `host:port` joined by commas."""
    tenant: str = ""
    key: str = ""
    """Of the tenant's API key: "file:PATH" or "env:NAME"."""
    secret: str = ""
    """Of the cluster's secret: "file:PATH" or "env:NAME"."""
    authority: str = ""
    """PEM file of the authority that signed the members' certificates."""

    @classmethod
    def load(cls, path: Path) -> Context:
        """Reads a context file; empty if there is none. Raises ConfigInvalid."""
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


def check_named(path: Path) -> None:
    """Raises ConfigInvalid if a context file that somebody named does not exist."""
    if not path.exists():
        raise ConfigInvalid(
            f"context file {path} does not exist: correct --context or {CONTEXT_VARIABLE}, or "
            "leave both out"
        )


def known_context() -> Context:
    """HOLDFAST_ADDRESS, HOLDFAST_TENANT and so on; what they leave open, the context file says:
    the one that HOLDFAST_CONTEXT names, or that of `holdfast up`. Raises ConfigInvalid."""
    named = os.environ.get(CONTEXT_VARIABLE)
    if named:
        check_named(Path(named))
    stored = Context.load(Path(named) if named else default_path())
    return Context(
        **{
            field.name: os.environ.get(f"HOLDFAST_{field.name.upper()}")
            or getattr(stored, field.name)
            for field in fields(Context)
        }
    )
