"""A GPU as lanes see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from holdfast.engines.vllm.staging import Staging

BLOCKS_MAX = 256
"""Blocks of one copy, as in paged_copy.cu."""


class DeviceStream(Protocol):
    """Copies in the order in which they are asked for, beside the engine's own work."""

    def copy(
        self,
        group: int,
        ids: Sequence[int],
        slots: Sequence[int],
        after: Any,
        *,
        into_pages: bool,
    ) -> None:
        """Copies blocks of `group` between pages and slots, and waits for the end of it.

        ids: the engine's numbers of the blocks, at most BLOCKS_MAX. slots: one for each. after:
        a mark that the engine's work must have passed. into_pages: else out of them. Raises
        errors of the device's own; nothing touches the pages any more then.
        """

    def close(self) -> None:
        """Lets the staging memory go; no copy is under way any more."""


class Device(Protocol):
    """One implementation for CUDA; tests have one whose pages lie in host memory."""

    def mark(self) -> Any:
        """What the engine has given the GPU to do so far. Called on the engine's thread."""

    def stream(self, staging: Staging) -> DeviceStream:
        """A stream of its own that copies from and to the slots of `staging`."""
