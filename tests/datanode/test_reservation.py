"""The address is taken first, then the cluster is told of it."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from holdfast_datanode.reservation import reserve_address
from holdfast_kvstore.errors import FailedPrecondition


def listen(address: str) -> socket.socket:
    """As the native node does."""
    host, _, port = address.rpartition(":")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen()
    return listener


def test_a_reserved_address_is_this_processs_to_listen_at() -> None:
    with ExitStack() as parts:
        address = reserve_address(parts, "127.0.0.1:0")
        assert not address.endswith(":0")
        with listen(address), socket.socket() as caller:
            caller.connect((address.rpartition(":")[0], int(address.rpartition(":")[2])))
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind((address.rpartition(":")[0], int(address.rpartition(":")[2])))


def test_an_address_in_use_is_refused() -> None:
    with listen("127.0.0.1:0") as other, ExitStack() as parts:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            FailedPrecondition, match=rf"cannot listen at {address}: Address already"
        ):
            reserve_address(parts, address)


def test_ipv6_stands_in_brackets() -> None:
    with ExitStack() as parts:
        assert reserve_address(parts, "[::1]:0").startswith("[::1]:")
