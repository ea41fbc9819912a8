"""The layers of the design, as import-linter sees them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.repository.source_files import ROOT


def test_imports_point_one_way() -> None:
    command = shutil.which(
        "lint-imports", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert command is not None, "lint-imports is missing: run `make venv`"
    ended = subprocess.run(
        [command, "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
