"""Files that come to be whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replaced_when_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write; it takes the place of `path` when the block ends without an exception.

    Until then, and after an exception, what was at `path` stays as it was. Devices and pipes are
    written directly. Raises OSError.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    beside = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        file = beside.open("wb")
    except FileNotFoundError as error:
        # The name that was asked for says more than the one beside it.
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    try:
        with file:
            yield file
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
