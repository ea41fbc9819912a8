"""The `holdfast` command: its groups and the options that all of them share."""

from __future__ import annotations

import typer

from holdfast._context import Context, default_path
from holdfast.cli import (
    bench,
    completion,
    daemons,
    doctor,
    kv,
    member,
    node,
    space,
    status,
    tenant,
    up,
)
from holdfast.cli.exit_codes import HELP as EXIT_CODES
from holdfast.cli.help_text import join_paragraphs
from holdfast.cli.misplaced_option import GroupWithSharedOptions
from holdfast.cli.options import (
    Address,
    Authority,
    ClusterSecret,
    ContextPath,
    Deadline,
    Key,
    ShowVersion,
    Tenant,
)
from holdfast.cli.reach import Reach

app = typer.Typer(
    name="holdfast",
    cls=GroupWithSharedOptions,
    help="A distributed storage cluster with a KV-cache tier for language model inference.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def shared_options(
    context: typer.Context,
    address: Address = None,
    tenant: Tenant = None,
    key: Key = None,
    secret: ClusterSecret = None,
    authority: Authority = None,
    context_file: ContextPath = None,
    deadline: Deadline = 5.0,
    show_version: ShowVersion = False,
) -> None:
    """Puts together how commands reach the cluster."""
    path = context_file or default_path()
    known = Context.load(path)
    context.obj = Reach(
        address=known.address if address is None else address,
        tenant=known.tenant if tenant is None else tenant,
        key=known.key if key is None else key,
        secret=known.secret if secret is None else secret,
        authority=known.authority if authority is None else authority,
        deadline_s=deadline,
        context_path=context_file,
        address_from=path if address is None else None,
    )


app.command("up")(up.up)
app.command("metanode")(daemons.metanode)
app.command("datanode")(daemons.datanode)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("completion")(completion.completion)
app.add_typer(tenant.app, name="tenant")
app.add_typer(space.app, name="space")
app.add_typer(node.app, name="node")
app.add_typer(member.app, name="member")
app.add_typer(kv.app, name="kv")
app.add_typer(bench.app, name="bench")
join_paragraphs(app)
