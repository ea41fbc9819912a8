"""What the scheduler's side knows of one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from holdfast.engines.vllm.lookup import Lookup


class BoundaryState(NamedTuple):
    """A state that a forward leaves at the end of a prefix, and that stays as it is."""

    group: int
    block: int
    """Where it lies: the engine's block number."""
    tokens: int
    """Of the prefix."""


class EngineRequest(Protocol):
    """What is read of an engine's request; it belongs to the engine and changes under us."""

    request_id: str
    num_computed_tokens: int
    lora_request: Any

    @property
    def num_tokens(self) -> int:
        """Tokens known: the prompt and what was generated."""

    @property
    def block_hashes(self) -> Sequence[bytes]:
        """One for each full block of known tokens."""

    @property
    def skip_reading_prefix_cache(self) -> bool:
        """Whether the request wants everything computed."""


@dataclass(slots=True)
class Record:
    """Kept from the request's arrival to its end."""

    request: EngineRequest
    arrived_at: float
    """Monotonic seconds."""
    saved: list[int]
    """By group, blocks from the first on that were looked at to be stored."""
    lookup: Lookup | None = None
    offered: tuple[int, int] | None = None
    """Tokens that the engine had itself, and tokens offered behind them."""
    loading: int = 0
    """Tokens being read; 0 when nothing is."""
    stopped: bool = False
    """Whether no more of its blocks are stored: behind a hole they would be of no use."""
    salt: bytes | None = None
    """Digest of the adapter's weights that its keys stand on; None without an adapter, and while
    it is not known yet."""
    asked_again: bool = False
    """Whether the lookup replaces one that was too old: its answer is taken however old."""
