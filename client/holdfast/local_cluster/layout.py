"""What a cluster on one machine consists of."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from holdfast.errors import InvalidArgument
from holdfast_kvstore.policies import TIMES
from holdfast_kvstore.spaces import check_name

MEMBER_COUNTS = (1, 3, 5)
DATA_NODES_MAX = 64
TICKET_LIFE_S_MIN = 5
TICKET_LIFE_S_MAX = 86_400


@dataclass(frozen=True, slots=True)
class LocalLayout:
    """Raises InvalidArgument for a field outside its range."""

    data_nodes: int = 1
    """Data nodes, up to 64."""
    metadata_nodes: int = 1
    """Metadata members: 1, 3 or 5."""
    arena_mib: int = 256
    """Memory of each data node for blocks, MiB; a multiple of 16."""
    tenant: str = "local"
    """The tenant that is made with the cluster."""
    spin_us: int = 0
    """How long data nodes look for work before they sleep, microseconds."""
    heartbeat_interval_ms: int = TIMES.heartbeat_interval_ms
    """From one heartbeat of a data node to the next."""
    down_after_ms: int = TIMES.down_after_ms
    """Silence after which a data node is marked down."""
    out_after_ms: int = TIMES.out_after_ms
    """Silence after which a data node is out and its groups are remapped."""
    ticket_life_s: int = TIMES.ticket_life_s
    """From a ticket's issue to its end, seconds: 5 to 86400."""
    fault_injection: bool = False
    """Lets tests damage stored blocks."""

    def __post_init__(self) -> None:
        check_name("tenant", self.tenant)
        if not 0 <= self.data_nodes <= DATA_NODES_MAX:
            raise InvalidArgument(
                f"data_nodes is {self.data_nodes}, it must be 0 to {DATA_NODES_MAX}"
            )
        if self.metadata_nodes not in MEMBER_COUNTS:
            raise InvalidArgument(
                f"metadata_nodes is {self.metadata_nodes}, it must be one of {MEMBER_COUNTS}"
            )
        if self.arena_mib < 16 or self.arena_mib % 16:
            raise InvalidArgument(
                f"arena_mib is {self.arena_mib}, it must be a multiple of 16, at least 16"
            )
        if not TICKET_LIFE_S_MIN <= self.ticket_life_s <= TICKET_LIFE_S_MAX:
            raise InvalidArgument(
                f"ticket_life_s is {self.ticket_life_s}, it must be {TICKET_LIFE_S_MIN} to "
                f"{TICKET_LIFE_S_MAX}"
            )


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now, each another one."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [int(opened.getsockname()[1]) for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()
