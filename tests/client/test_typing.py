"""The public types hold for a user's program under mypy's strict rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def check(path: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_users_program_passes_the_strict_rules(tmp_path: Path) -> None:
    done = check(HERE / "typing_user.py", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mistakes_of_a_users_program_are_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import holdfast\n"
        "def use(space: holdfast.Space) -> str:\n"
        "    return space.match(['text'])\n"
    )
    done = check(wrong, tmp_path / "cache")
    assert 'List item 0 has incompatible type "str"' in done.stdout
    assert 'expected "str"' in done.stdout
