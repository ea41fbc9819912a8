"""What all tests have in common."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Makes Ctrl-C work in processes of tests.

    A shell starts background commands with SIGINT ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
