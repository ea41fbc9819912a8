"""The file in which `holdfast up` leaves how to reach the cluster, so that flags are not needed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from holdfast._context import Context
from holdfast.local_cluster.directory import write_private
from holdfast.local_cluster.toml_text import toml_text


def store_context(context: Context, path: Path) -> None:
    """Writes `context` so that only its owner may read it; `Context.load` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, toml_text(asdict(context)).rstrip("\n"))
