"""What the repository holds, as git sees it: tracked files and new ones that are not ignored."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@cache
def repository_files() -> tuple[Path, ...]:
    """Paths relative to the root, sorted; deleted files are left out."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    return tuple(sorted(Path(p) for p in set(listing.split("\0")) if p and (ROOT / p).is_file()))


def files_with_suffix(*suffixes: str) -> list[Path]:
    """Those of `repository_files` that end in one of `suffixes`."""
    return [path for path in repository_files() if path.suffix in suffixes]
