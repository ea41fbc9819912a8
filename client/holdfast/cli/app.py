"""The `holdfast` command: its groups and the options that all of them share."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli import bench, daemons, doctor, kv, member, node, space, status, tenant, up
from holdfast.cli.context_file import ContextFile, default_path
from holdfast.cli.exit_codes import HELP as EXIT_CODES
from holdfast.cli.reach import Reach

app = typer.Typer(
    name="holdfast",
    help="A distributed storage cluster with a KV-cache tier for language model inference.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"holdfast {version('holdfast')}")
    except PackageNotFoundError:
        typer.echo("holdfast (not installed as a package)")
    raise typer.Exit


@app.callback()
def shared_options(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_ADDRESS",
            help="Metadata members, host:port, joined by commas.",
            show_default="context file",
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_TENANT", help="Tenant to act as.", show_default="context file"
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_KEY",
            help="The tenant's API key, as file:PATH or env:NAME.",
            show_default="context file",
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_SECRET",
            help="The cluster's secret (operators), as file:PATH or env:NAME.",
            show_default="context file",
        ),
    ] = None,
    authority: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_AUTHORITY",
            help="PEM file of the authority behind the members' certificates.",
            show_default="context file",
        ),
    ] = None,
    context_file: Annotated[
        Path | None,
        typer.Option(
            "--context",
            envvar="HOLDFAST_CONTEXT",
            help="File with the defaults of the options above.",
            show_default="~/.config/holdfast/context.toml",
        ),
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="Longest wait for the metadata cluster, seconds.", min=0.1)
    ] = 5.0,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Puts together how commands reach the cluster."""
    known = ContextFile.load(context_file or default_path())
    context.obj = Reach(
        address=known.address if address is None else address,
        tenant=known.tenant if tenant is None else tenant,
        key=known.key if key is None else key,
        secret=known.secret if secret is None else secret,
        authority=known.authority if authority is None else authority,
        deadline_s=deadline,
    )


app.command("up")(up.up)
app.command("metanode")(daemons.metanode)
app.command("datanode")(daemons.datanode)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.add_typer(tenant.app, name="tenant")
app.add_typer(space.app, name="space")
app.add_typer(node.app, name="node")
app.add_typer(member.app, name="member")
app.add_typer(kv.app, name="kv")
app.add_typer(bench.app, name="bench")
