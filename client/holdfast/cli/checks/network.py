"""Ports on this machine, and whether the known cluster can be reached."""

from __future__ import annotations

import socket

from holdfast._members import split_addresses
from holdfast.cli.checks.finding import Finding, fine, note, problem

DEFAULT_PORTS = {7300: "metadata member", 7400: "data node"}
CONNECT_S = 1.0


def check_ports() -> list[Finding]:
    """Whether the daemons' usual ports are free."""
    found = []
    for port, daemon in DEFAULT_PORTS.items():
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                found.append(
                    note(
                        f"port {port}",
                        f"taken ({error.strerror})",
                        f"if that is not your {daemon}, choose another in its `listen`",
                    )
                )
            else:
                found.append(fine(f"port {port}", f"free for a {daemon}"))
    return found


def check_reach(address: str) -> list[Finding]:
    """Whether each known metadata member accepts connections."""
    if not address:
        return [note("cluster", "none known here", "`holdfast up` starts one on this machine")]
    return [_reached(one) for one in split_addresses(address)]


def _reached(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        return problem(
            f"member {address}",
            f"cannot be reached: {error}",
            "is the daemon running, is the address right, does a firewall stand between?",
        )
    return fine(f"member {address}", "accepts connections")
