"""Resolves ops/engines/NAME.lock: an engine and what Holdfast needs, pinned, with hashes.

    python ops/engines/lock.py NAME [--upgrade]

NAME.in says which engine, NAME-overrides.txt (if there is one) what must be resolved otherwise than
it asks. A lock names no registry, so that it installs from whichever one is set up.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUR_OWN = "holdfast-native"


def main() -> int:
    """Writes the lock; returns the resolver's exit status."""
    name = sys.argv[1]
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    wanted = [line for line in project["dependencies"] if not line.startswith(OUR_OWN)]
    overrides = HERE / f"{name}-overrides.txt"
    resolver = [
        *(sys.executable, "-m", "uv", "pip", "compile", str(HERE / f"{name}.in"), "-", "--quiet"),
        *("--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *("--output-file", str(HERE / f"{name}.lock")),
        *(["--override", str(overrides)] if overrides.exists() else []),
        *(["--upgrade"] if "--upgrade" in sys.argv else []),
    ]
    return subprocess.run(resolver, input="\n".join(wanted), text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
