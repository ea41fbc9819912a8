"""drivers/vllm_engine.py where LMCache is installed beside vLLM."""

from __future__ import annotations

from typing import Any

from llvmlite.binding import ffi

from tests.engines.real.drivers.vllm_engine import main


def answer_plain_names_only() -> None:
    """vLLM looks for its kernels in whatever any module holds. LMCache loads llvmlite, whose object
    for a library has an answer to every name, `__dict__` too, and vLLM stumbles over it."""
    answer = ffi._lib_wrapper.__getattr__

    def plain(library: Any, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return answer(library, name)

    ffi._lib_wrapper.__getattr__ = plain


if __name__ == "__main__":
    answer_plain_names_only()
    main()
