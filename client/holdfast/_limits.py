"""How long calls may take and how much may be under way, as values that never change."""

from __future__ import annotations

from dataclasses import dataclass, fields

from holdfast.errors import InvalidArgument
from holdfast_kvstore.policies import LIMITS, TIMES


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of calls that state none of their own, seconds.

    Raises InvalidArgument for a value that is not positive or above ten minutes.
    """

    get_s: float = TIMES.get_deadline_ms / 1000
    """match, exists, get and stat."""
    put_s: float = TIMES.put_deadline_ms / 1000
    """put, pin and delete."""
    metadata_s: float = TIMES.metadata_deadline_ms / 1000
    """One call to the metadata cluster, with redirects and retries."""
    connect_s: float = 1.0
    """One attempt to reach a data node."""
    close_s: float = 5.0
    """Closing a cluster or a region, also at the interpreter's exit."""

    def __post_init__(self) -> None:
        for field in fields(self):
            check_deadline(field.name, getattr(self, field.name))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one cluster object. Raises InvalidArgument for a value that is not positive."""

    operations_max: int = 4096
    """Calls under way at once; a further one raises Busy."""
    bytes_in_flight_max: int = 4 << 30
    """Payload bytes under way at once; a further call raises Busy."""
    retry_backoff_ms_min: int = 50
    """First pause before a data node that failed is tried again, milliseconds."""
    retry_backoff_ms_max: int = 2000
    """Longest such pause, milliseconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise InvalidArgument(f"{field.name} is {value}, it must be at least 1")


def check_deadline(what: str, seconds: float) -> None:
    """Raises InvalidArgument unless `seconds` is a deadline that the block protocol can carry."""
    longest = LIMITS.deadline_ms_max / 1000
    if not 0 < seconds <= longest:
        raise InvalidArgument(f"{what} is {seconds} s, it must be above 0 and up to {longest} s")
