"""Tells whoever started this process that it serves."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from holdfast_datanode.identity import write_durably


def announce(ready_file: Path, facts: dict[str, object]) -> None:
    """Writes the ready file, and tells systemd if that is who started this."""
    write_durably(ready_file, json.dumps(facts).encode() + b"\n")
    _tell_systemd("READY=1")


def announce_stop() -> None:
    """Tells systemd that a stop is under way."""
    _tell_systemd("STOPPING=1")


def _tell_systemd(state: str) -> None:
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(1.0)
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # nobody listens: serving matters more
