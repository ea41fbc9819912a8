"""What all tests have in common."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Makes Ctrl-C and hanging up work in processes of tests.

    A shell starts background commands with SIGINT ignored, `nohup` ignores SIGHUP, and children
    inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
