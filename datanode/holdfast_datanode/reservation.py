"""An address that is taken before the cluster is told of it."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from holdfast_datanode.config import split_address
from holdfast_kvstore.errors import FailedPrecondition


def reserve_address(parts: ExitStack, listen: str) -> str:
    """Binds `listen` until `parts` end; returns it with a free port in the place of port 0.

    The socket does not listen itself, so that the native node of this process can at the same
    address. Raises FailedPrecondition if somebody else listens there, or it cannot be bound.
    """
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = parts.enter_context(socket.socket(family, socket.SOCK_STREAM))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        raise FailedPrecondition(
            f"cannot listen at {listen}: {error.strerror}; choose another address (listen) or "
            "stop who has it"
        ) from error
    taken = int(bound.getsockname()[1])
    return f"[{host}]:{taken}" if ":" in host else f"{host}:{taken}"
