"""`holdfast up`: a whole cluster on this machine, in the foreground."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from holdfast.cli.context_file import ContextFile, default_path
from holdfast.cli.output import err, say
from holdfast.errors import Unavailable
from holdfast.local_cluster import DaemonProcess, LocalCluster, LocalLayout

RESTARTS_MAX = 5
"""Restarts of one daemon within `RESTART_WINDOW_S` before `up` gives up on it."""
RESTART_WINDOW_S = 60.0
LOOK_EVERY_S = 0.5


def up(
    data_nodes: Annotated[
        int, typer.Option("--data-nodes", "-n", help="Data nodes.", min=1, max=64)
    ] = 1,
    metadata_nodes: Annotated[
        int, typer.Option("--metadata-nodes", "-m", help="Metadata members: 1, 3 or 5.")
    ] = 1,
    arena_mib: Annotated[
        int, typer.Option(help="Memory of each data node for blocks, MiB (multiple of 16).")
    ] = 1024,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the cluster over restarts.", show_default="temporary"),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Tenant that is made with the cluster.")] = "local",
    context: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the context file.", show_default="~/.config/holdfast/context.toml"
        ),
    ] = None,
) -> None:
    """Run a cluster on this machine until Ctrl-C.

    Daemons that end are started again. Tenants, spaces and the map survive with --data; cached
    blocks live in memory and do not survive their data node.

    Examples: [bold]holdfast up[/], [bold]holdfast up -n 4 -m 3 --data ~/holdfast[/]
    """
    layout = LocalLayout(
        data_nodes=data_nodes, metadata_nodes=metadata_nodes, arena_mib=arena_mib, tenant=tenant
    )
    cluster = LocalCluster(layout, data)
    cluster.start(report=say)
    # From here on both signals end the wait below; before, they end this process, and the
    # daemons with it.
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    where = context or default_path()
    written = ContextFile(
        address=cluster.address,
        tenant=cluster.tenant,
        key=f"file:{cluster.directory / 'tenant.key'}",
        secret=f"file:{cluster.secret_path}",
    )
    try:
        written.store(where)
        say(f"[bold green]ready[/] at {cluster.address}, tenant {cluster.tenant}")
        say(f"context file {where}: try `holdfast status` in another terminal; Ctrl-C stops all")
        _supervise(cluster, stopping)
    finally:
        say("stopping")
        cluster.stop()
        if data is None and ContextFile.load(where) == written:
            where.unlink()


def _supervise(cluster: LocalCluster, stopping: Event) -> None:
    restarts: dict[str, list[float]] = {}
    while not stopping.wait(LOOK_EVERY_S):
        for daemon in (*cluster.members, *cluster.data_nodes):
            if not daemon.running:
                _restart(daemon, restarts.setdefault(daemon.name, []))


def _restart(daemon: DaemonProcess, times: list[float]) -> None:
    now_s = time.monotonic()
    times[:] = [then for then in times if now_s - then < RESTART_WINDOW_S]
    if len(times) >= RESTARTS_MAX:
        raise Unavailable(
            f"{daemon.name} ended {RESTARTS_MAX} times within {RESTART_WINDOW_S:g} s; its log "
            f"{daemon.log_path} says:\n{daemon.log_tail()}"
        )
    times.append(now_s)
    err.print(f"{daemon.name} ended with code {daemon.exit_code}: starting it again")
    daemon.start()
