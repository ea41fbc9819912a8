"""Whether this machine's clock is disciplined: credentials carry the time of day."""

from __future__ import annotations

import ctypes

from holdfast.cli.checks.finding import Finding, fine, note
from holdfast_kvstore.policies import TIMES

_UNSYNCHRONISED = 0x40
_TIMEX_BYTES = 208
_STATUS_OFFSET = 40
"""Of `status` in struct timex with 64-bit longs."""
_CLOCK_ERROR = 5


def check_clock() -> list[Finding]:
    """Asks the kernel whether something keeps its clock in step."""
    library = ctypes.CDLL(None, use_errno=True)
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = library.adjtimex(timex)
    status = int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little")
    if state in (-1, _CLOCK_ERROR) or status & _UNSYNCHRONISED:
        return [
            note(
                "clock",
                "not synchronised",
                f"requests of operators and data nodes are refused beyond "
                f"{TIMES.credential_skew_s} s of difference: run chrony or systemd-timesyncd",
            )
        ]
    return [fine("clock", "synchronised")]
