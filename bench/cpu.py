"""CPU time of processes, from the kernel's accounting."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int | None = None) -> float:
    """User and system seconds that a process has used; `None` is this one. Resolution 10 ms."""
    stat = Path(f"/proc/{pid or 'self'}/stat").read_text(encoding="ascii")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
