"""`holdfast` as its users start it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

_COMMAND_S = 60


def run_command(environment: Mapping[str, str], *arguments: str, status: int = 0) -> str:
    """Both outputs of a command that ends with `status`."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr
