"""How long calls may take and how much may be under way, as values that never change."""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields
from typing import SupportsIndex

from holdfast.errors import InvalidArgument
from holdfast_kvstore.policies import LIMITS, TIMES

CONNECT_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of calls that state none of their own, seconds.

    Raises InvalidArgument for a value that is not positive or above ten minutes (`connect_s`: one
    minute). What is below a millisecond counts as one.
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
        if self.connect_s > CONNECT_S_MAX:
            raise InvalidArgument(
                f"connect_s is {self.connect_s} s, it must be up to {CONNECT_S_MAX} s"
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one cluster object. Raises InvalidArgument for a value outside its range."""

    operations_max: int = 4096
    """Calls under way at once, up to 2**20; a further one raises Busy."""
    bytes_in_flight_max: int = 4 << 30
    """Payload bytes under way at once, up to 2**50; a further call raises Busy."""
    retry_backoff_ms_min: int = 50
    """First pause before a data node that failed is tried again, milliseconds."""
    retry_backoff_ms_max: int = 2000
    """Longest such pause, milliseconds, up to 600,000 and no shorter than the first."""

    def __post_init__(self) -> None:
        check_integer("operations_max", self.operations_max, 1, 1 << 20)
        check_integer("bytes_in_flight_max", self.bytes_in_flight_max, 1, 1 << 50)
        check_integer("retry_backoff_ms_max", self.retry_backoff_ms_max, 1, 600_000)
        check_integer(
            "retry_backoff_ms_min", self.retry_backoff_ms_min, 1, self.retry_backoff_ms_max
        )


def check_deadline(what: str, seconds: float) -> None:
    """Raises InvalidArgument unless `seconds` is a deadline that the block protocol can carry."""
    longest = LIMITS.deadline_ms_max / 1000
    try:
        possible = 0 < seconds <= longest
    except (TypeError, ValueError):
        raise InvalidArgument(f"{what} is {seconds!r}, it must be a number of seconds") from None
    if not possible:
        raise InvalidArgument(f"{what} is {seconds} s, it must be above 0 and up to {longest} s")


def check_integer(what: str, value: SupportsIndex, least: int, most: int) -> None:
    """Raises InvalidArgument unless `value` is an integer from `least` to `most`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgument(f"{what} is {value!r}, it must be an integer") from None
    if not least <= number <= most:
        raise InvalidArgument(f"{what} is {number}, it must be {least} to {most}")


def check_text(what: str, value: str) -> None:
    """Raises InvalidArgument unless `value` is text that UTF-8 can carry."""
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} is {value!r}, it must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"{what} {value!r} has a character that is none: a surrogate"
        ) from None
