"""Resolves `requirements.lock`: every dependency of both packages, pinned, with hashes.

Run by `make lock`. The lock names no registry, so that it installs from whichever one is set up.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OUR_OWN = "holdfast-native"


def main() -> int:
    """Writes the lock; returns the resolver's exit status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    resolver = [
        *(sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"),
        *("--no-emit-index-url", "--no-emit-find-links", "--output-file", str(LOCK)),
        *(["--upgrade"] if "--upgrade" in sys.argv else []),
    ]
    requirements = "\n".join(line for line in wanted if not line.startswith(OUR_OWN))
    return subprocess.run(resolver, input=requirements, text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
