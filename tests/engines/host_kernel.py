"""paged_copy.cu, compiled for the host."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from holdfast.engines.vllm import tiles

SOURCE = Path(tiles.__file__).with_name("paged_copy.cu")
_AROUND = Path(__file__).with_name("kernel_on_host.cpp")
_COMPILERS = ("c++", "g++", "clang++")
_COMPILE_S = 60


@cache
def _library() -> ctypes.CDLL:
    with TemporaryDirectory() as folder:
        built = Path(folder) / "kernel.so"
        subprocess.run(
            [
                *_compiler(),
                *("-std=c++14", "-O1", "-shared", "-fPIC"),
                *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
                *(f'-DKERNEL="{SOURCE}"', "-o", str(built), str(_AROUND)),
            ],
            check=True,
            timeout=_COMPILE_S,
        )
        return ctypes.CDLL(str(built))


def _compiler() -> list[str]:
    """This machine's, or the one that `make` installs where there is none."""
    found = next((path for name in _COMPILERS if (path := shutil.which(name))), None)
    # Nothing of the C++ library is used, which it would first have to build.
    return [found] if found else [sys.executable, "-m", "ziglang", "c++", "-nostdlib++"]


def launch(grid: int, block: int, arguments: tuple[Any, ...]) -> None:
    """Runs the kernel with the arguments that a GPU's is called with, types and all."""
    table, tile_count, moves, move_count, staging, slot_bytes, into_pages = arguments
    assert isinstance(table, np.ndarray) and table.flags.c_contiguous
    assert isinstance(moves, np.ndarray) and moves.size == 1  # by value: one struct
    for number in (tile_count, move_count, into_pages):
        assert isinstance(number, np.int32)
    for number in (staging, slot_bytes):
        assert isinstance(number, np.int64)
    aligned = _library().run(
        grid,
        block,
        ctypes.c_void_p(table.ctypes.data),
        int(tile_count),
        ctypes.c_void_p(moves.ctypes.data),
        int(move_count),
        ctypes.c_void_p(int(staging)),
        ctypes.c_longlong(int(slot_bytes)),
        int(into_pages),
    )
    assert aligned, "a GPU refuses words that are not aligned"
