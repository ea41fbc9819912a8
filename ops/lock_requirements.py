"""Resolves `requirements.lock`: every dependency of both packages, pinned, with hashes; and
`ops/compiler.lock`: a C++ compiler for the tests of machines that have none.

Run by `make lock`. The locks name no registry, so that they install from whichever one is set up.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
COMPILER_LOCK = ROOT / "ops" / "compiler.lock"
OUR_OWN = "holdfast-native"


def main() -> int:
    """Writes the locks; returns the resolver's exit status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]
    return _resolve([*project["dependencies"], *extra["dev"]], LOCK) or _resolve(
        extra["compiler"], COMPILER_LOCK
    )


def _resolve(wanted: list[str], lock: Path) -> int:
    resolver = [
        *(sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"),
        *("--no-emit-index-url", "--no-emit-find-links", "--output-file", str(lock)),
        *(["--upgrade"] if "--upgrade" in sys.argv else []),
    ]
    requirements = "\n".join(line for line in wanted if not line.startswith(OUR_OWN))
    return subprocess.run(resolver, input=requirements, text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
