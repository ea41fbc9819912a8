"""`holdfast up`: a whole cluster on this machine, in the foreground."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from holdfast._context import Context, default_path
from holdfast.cli.checks.local_layout import changes_of, check_arenas
from holdfast.cli.context_file import store_context
from holdfast.cli.output import err, say
from holdfast.cli.reach import reach_of
from holdfast.errors import ConfigInvalid
from holdfast.local_cluster import LocalCluster, LocalLayout
from holdfast.local_cluster.directory import write_private
from holdfast.local_cluster.stop_signals import StopSignals
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
    file = _ContextFile(context or reach_of(shared).context_path or default_path())
    signals = StopSignals()
    with signals.installed():
        cluster = LocalCluster(layout, data)
        cluster.start(_after(list(changes_of(layout, data)), say), signals.interruptible)
        try:
            _announce(cluster, file)
            _supervise(cluster, signals)
        finally:
            with contextlib.suppress(OSError):  # the terminal may have been closed
                say("stopping")
            cluster.stop()
            file.take_back(keep=data is not None)


def _after(first: list[str], report: Callable[[str], None]) -> Callable[[str], None]:
    """Reports `first` before the first step, which the cluster takes once its folder is locked: a
    folder that another cluster uses stays as it is."""

    def report_step(step: str) -> None:
        while first:
            report(first.pop(0))
        report(step)

    return report_step


def _announce(cluster: LocalCluster, file: _ContextFile) -> None:
    replaced = file.write(
        Context(
            address=cluster.address,
            tenant=cluster.tenant,
            key=f"file:{cluster.directory / 'tenant.key'}",
            secret=f"file:{cluster.secret_path}",
        )
    )
    say(f"[bold green]ready[/] at {cluster.address}, tenant {cluster.tenant}")
    if replaced is not None:
        say(
            f"replaces the context of the cluster at {replaced.address or 'no address'}, which is "
            "put back when this one stops; --context FILE leaves it alone"
        )
    say(f"context file {file.path}: try `holdfast status` in another terminal; Ctrl-C stops all")


def _supervise(cluster: LocalCluster, signals: StopSignals) -> None:
    supervisor = Supervisor(cluster.members, cluster.data_nodes, _warn)
    pause = Event()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            with signals.interruptible():
                pause.wait(LOOK_EVERY_S)
            supervisor.look()


def _warn(text: str) -> None:
    err.print(text, markup=False, highlight=False)


class _ContextFile:
    """The context file while this cluster runs, and what lay there before."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigInvalid for a file that is no context: it is not overwritten."""
        Context.load(path)
        self.path = path
        self._written: Context | None = None
        self._replaced: tuple[Context, str] | None = None

    def write(self, context: Context) -> Context | None:
        """Writes the file; answers the context that it replaces, of another cluster. Raises
        ConfigInvalid."""
        found = Context.load(self.path)
        # The same secret's file: this cluster's folder, used before.
        replaces = found.secret != context.secret and _is_of_use(found)
        if replaces:
            # As text: somebody may have written it by hand, with comments.
            self._replaced = (found, self.path.read_text(encoding="utf-8"))
        self._written = context
        store_context(context, self.path)
        return found if replaces else None

    def take_back(self, keep: bool) -> None:
        """Puts back what was replaced, or else deletes the file. keep: does not delete it.

        Whoever has written the file since may have it.
        """
        if self._written is None or not self._is_own():
            return
        # The cluster of the earlier one may have ended meanwhile.
        if self._replaced is not None and _is_of_use(self._replaced[0]):
            write_private(self.path, self._replaced[1].removesuffix("\n"))
        elif not keep:
            self.path.unlink()

    def _is_own(self) -> bool:
        try:
            return Context.load(self.path) == self._written
        except ConfigInvalid:
            return False


def _is_of_use(context: Context) -> bool:
    """Whether a context says something, and names no file that went with its cluster."""
    named = (Path(one[5:]) for one in (context.key, context.secret) if one.startswith("file:"))
    gone = (path.is_absolute() and not path.exists() for path in named)
    return context != Context() and not any(gone)
