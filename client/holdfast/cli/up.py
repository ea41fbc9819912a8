"""`holdfast up`: a whole cluster on this machine, in the foreground."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from holdfast._context import Context, default_path
from holdfast.cli.checks.local_layout import changes_of, check_arenas
from holdfast.cli.context_file import store_context
from holdfast.cli.output import err, say
from holdfast.cli.reach import reach_of
from holdfast.local_cluster import LocalCluster, LocalLayout
from holdfast.local_cluster.supervisor import Supervisor

LOOK_EVERY_S = 0.5


def up(
    shared: typer.Context,
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
            help="Where to write the context file; without it context.toml in ~/.config/holdfast.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a cluster on this machine until Ctrl-C.

    Daemons that end are started again, except a data node that was removed. Tenants, spaces and
    the map survive with --data; cached blocks live in memory and do not survive their data node.

    Examples: [bold]holdfast up[/], [bold]holdfast up -n 4 -m 3 --data ~/holdfast[/]
    """
    layout = LocalLayout(
        data_nodes=data_nodes, metadata_nodes=metadata_nodes, arena_mib=arena_mib, tenant=tenant
    )
    check_arenas(layout)
    for change in changes_of(layout, data):
        say(change)
    cluster = LocalCluster(layout, data)
    cluster.start(report=say)
    # From here on both signals end the wait below; before, they end this process, and the
    # daemons with it.
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    where = context or reach_of(shared).context_path or default_path()
    written = Context(
        address=cluster.address,
        tenant=cluster.tenant,
        key=f"file:{cluster.directory / 'tenant.key'}",
        secret=f"file:{cluster.secret_path}",
    )
    try:
        store_context(written, where)
        say(f"[bold green]ready[/] at {cluster.address}, tenant {cluster.tenant}")
        say(f"context file {where}: try `holdfast status` in another terminal; Ctrl-C stops all")
        _supervise(cluster, stopping)
    finally:
        say("stopping")
        cluster.stop()
        if data is None and Context.load(where) == written:
            where.unlink()


def _supervise(cluster: LocalCluster, stopping: Event) -> None:
    supervisor = Supervisor(cluster.members, cluster.data_nodes, _warn)
    while not stopping.wait(LOOK_EVERY_S):
        supervisor.look()


def _warn(text: str) -> None:
    err.print(text, markup=False, highlight=False)
