"""What this machine must give before a node of some size can start."""

from __future__ import annotations

import resource
from pathlib import Path

from holdfast_datanode.config import MIB, DataNodeConfig
from holdfast_kvstore.errors import ConfigInvalid

_DESCRIPTORS_BESIDE = 256
"""Files, sockets and event descriptors of the daemon itself."""


def descriptors_needed(config: DataNodeConfig) -> int:
    """One for each extent, two for each connection (a mapped region each), and the daemon's."""
    extents = config.arena_mib // config.extent_mib
    return extents + 2 * config.serving.connections_max + _DESCRIPTORS_BESIDE


def raise_descriptor_limit(config: DataNodeConfig) -> None:
    """Lets this process open what it needs. Raises ConfigInvalid if the hard limit is lower."""
    needed = descriptors_needed(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigInvalid(
            f"this node needs {needed} file descriptors (one an extent, two a connection), the "
            f"limit is {hard}: raise it (ulimit -Hn, LimitNOFILE=), enlarge extent_mib, or lower "
            "serving.connections_max"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def check_memory(config: DataNodeConfig, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Raises ConfigInvalid if the arena cannot fit now; the kernel would kill the node later."""
    for line in meminfo.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            available_bytes = int(value.split()[0]) * 1024
            if config.arena_bytes > available_bytes:
                raise ConfigInvalid(
                    f"arena_mib is {config.arena_mib}, this machine has "
                    f"{available_bytes // MIB} MiB available: lower it, or free memory"
                )
            return
