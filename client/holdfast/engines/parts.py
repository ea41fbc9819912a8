"""What an engine keeps as one may be larger than a stored block may be: it is stored in parts."""

from __future__ import annotations

from holdfast_kvstore.policies import LIMITS

PARTS_MAX = 1_024
"""Of one thing."""


def equal_parts(nbytes: int, block_bytes_max: int = LIMITS.block_bytes_max) -> int | None:
    """The least number of equal parts that are small enough; None if there is none."""
    least = max(1, -(-nbytes // block_bytes_max))
    fits = (parts for parts in range(least, PARTS_MAX + 1) if nbytes and nbytes % parts == 0)
    return next(fits, None)


def part_suffixes(parts: int) -> list[bytes]:
    """What stands behind a key in the name of each part; nothing where there is but one."""
    return [b""] if parts == 1 else [part.to_bytes(2, "big") for part in range(parts)]
