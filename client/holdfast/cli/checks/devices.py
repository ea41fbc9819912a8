"""What the machine offers beside memory and sockets: io_uring, RDMA."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from holdfast.cli.checks.finding import Finding, fine, note

_IO_URING_SETUP = 425
"""Number of the system call on every architecture (since Linux 5.1)."""
_PARAMS_BYTES = 120
_INFINIBAND = Path("/sys/class/infiniband")


def check_io_uring() -> list[Finding]:
    """Whether the kernel lets this process use io_uring."""
    library = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(_PARAMS_BYTES)
    descriptor = library.syscall(_IO_URING_SETUP, 1, parameters)
    if descriptor >= 0:
        os.close(descriptor)
        return [fine("io_uring", "usable")]
    code = ctypes.get_errno()
    name = errno.errorcode.get(code, str(code))
    return [
        note(
            "io_uring",
            f"not usable ({name})",
            "only flash tiers will want it: sysctl kernel.io_uring_disabled=0, or allow it in "
            "the sandbox",
        )
    ]


def check_rdma() -> list[Finding]:
    """RDMA devices and whether their ports are up."""
    devices = sorted(_INFINIBAND.iterdir()) if _INFINIBAND.is_dir() else []
    if not devices:
        return [note("RDMA", "no device", "TCP and shared memory work without one; nothing to do")]
    return [_device(device) for device in devices]


def _device(device: Path) -> Finding:
    states = [
        f"port {port.name}: {(port / 'state').read_text().strip()}"
        for port in sorted((device / "ports").iterdir())
    ]
    text = f"{device.name}, {', '.join(states)}"
    if any("ACTIVE" in state for state in states):
        return fine("RDMA", text)
    return note("RDMA", text, "no port is active: look at cable and link (`rdma link`)")
