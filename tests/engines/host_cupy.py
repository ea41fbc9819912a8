"""As much of cupy as `CudaDevice` uses, with the host in the place of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.engines.host_kernel import launch


class HostCupy(ModuleType):
    """Everything happens at once; what happened is in `calls`."""

    def __init__(self) -> None:
        super().__init__("cupy")
        self.calls: list[tuple[Any, ...]] = []
        self.refuses_to_pin = False
        self.build_error: Exception | None = None
        self.asarray = np.ascontiguousarray
        self._numbers = 0
        self.cuda = SimpleNamespace(
            Device=lambda index: _Scope(self, ("device", index)),
            Stream=lambda *, non_blocking: _Stream(self, non_blocking),
            Event=lambda *, block, disable_timing: _Event(self, block),
            get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
            runtime=SimpleNamespace(
                CUDARuntimeError=_CUDARuntimeError,
                eventRecord=lambda event, stream: self.calls.append(("record", event, stream)),
                hostRegister=self._register,
                hostUnregister=lambda address: self.calls.append(("unregister", address)),
                pointerGetAttributes=lambda address: SimpleNamespace(devicePointer=address),
            ),
        )

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> Any:
        if self.build_error is not None:
            raise self.build_error
        assert "paged_copy" in code and options
        return SimpleNamespace(get_function=lambda name: self._kernel)

    def number(self) -> int:
        """A handle that nothing else has."""
        self._numbers += 1
        return self._numbers

    def _kernel(self, grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
        self.calls.append(("launch",))
        launch(grid[0], block[0], arguments)

    def _register(self, address: int, nbytes: int, flags: int) -> None:
        if self.refuses_to_pin:
            raise _CUDARuntimeError("out of memory")
        self.calls.append(("register", address, nbytes, flags))


class _CUDARuntimeError(RuntimeError):
    """As cupy's."""


class _Scope:
    def __init__(self, cupy: HostCupy, what: tuple[Any, ...]) -> None:
        self._cupy = cupy
        self._what = what

    def __enter__(self) -> _Scope:
        self._cupy.calls.append(("enter", *self._what))
        return self

    def __exit__(self, *_: object) -> None:
        self._cupy.calls.append(("exit", *self._what))


class _Stream(_Scope):
    def __init__(self, cupy: HostCupy, non_blocking: bool) -> None:
        assert non_blocking
        self.ptr = cupy.number()
        self.wait_event: Callable[[_Event], None] = lambda event: cupy.calls.append(
            ("wait", event.ptr, self.ptr)
        )
        super().__init__(cupy, ("stream", self.ptr))


class _Event:
    def __init__(self, cupy: HostCupy, block: bool) -> None:
        assert block  # else the thread that waits for it spins
        self.ptr = cupy.number()
        self._cupy = cupy

    def record(self, stream: _Stream) -> None:
        self._cupy.calls.append(("record", self.ptr, stream.ptr))

    def synchronize(self) -> None:
        self._cupy.calls.append(("synchronize", self.ptr))
