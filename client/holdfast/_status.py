"""What became of one key of a call."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Per-key results, as they stand in the `statuses` of a result (uint8)."""

    MISS = 0
    """get, exists: not stored."""
    HIT = 1
    """get: the bytes are there, checked. exists, pin, delete: found."""
    STORED = 2
    """put: stored by this call."""
    PRESENT = 3
    """put: a committed block of this key was there already; nothing was sent."""
    BUSY = 4
    """put: another put of this key is under way, or there is no room just now. Promises nothing:
    of a mirror, some copies may hold the block."""
    REFUSED = 5
    """put: never possible as asked (quota, size)."""
    UNKNOWN = 6
    """put: it may or may not have been stored."""
    CORRUPT = 7
    """Bytes did not match their checksum; they were dropped, not handed out."""
    NOT_OWNER = 8
    """The node does not own the key in its newer cluster map."""
    TIMED_OUT = 9
    """No answer within the deadline."""
    UNREACHABLE = 10
    """No node that could hold it can be reached."""
    CANCELLED = 11
    """The call was cancelled before this key was done."""
