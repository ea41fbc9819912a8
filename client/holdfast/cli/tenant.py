"""`holdfast tenant ...`: who may use the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.output import err, human_bytes, say, table
from holdfast.cli.reach import reach_of
from holdfast.errors import InvalidArgument
from holdfast.local_cluster.directory import write_private
from holdfast_proto import meta_pb2 as pb

app = typer.Typer(help="Tenants and their API keys (operators).", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The tenant's name.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Write the key to this file, readable by you alone, not to the terminal."),
]


@app.command("create")
def create(
    context: typer.Context,
    name: Name,
    limit_mib: Annotated[
        int, typer.Option(help="Memory on each data node, MiB; 0: no limit.", min=0)
    ] = 0,
    key_file: KeyFile = None,
) -> None:
    """Create a tenant; its API key is shown this once.

    Example: [bold]holdfast tenant create team-a --limit-mib 65536 --key-file team-a.key[/]
    """
    with reach_of(context).admin() as admin, _place_for_key(key_file):
        _hand_over(admin.create_tenant(name, limit_mib << 20), key_file)


@app.command("rotate-key")
def rotate_key(
    context: typer.Context,
    name: Name,
    key_file: KeyFile = None,
    revoke_old: Annotated[
        bool,
        typer.Option(
            "--revoke-old",
            help="Do not make a key: end all but the newest. A step of its own, not to be given "
            "with --key-file.",
        ),
    ] = False,
) -> None:
    """Make a second API key; the old one works until `--revoke-old`.

    Example: [bold]holdfast tenant rotate-key team-a --key-file new.key[/], hand it out, then
    [bold]holdfast tenant rotate-key team-a --revoke-old[/]
    """
    if revoke_old and key_file is not None:
        raise InvalidArgument(
            f"--revoke-old makes no key, so that there is none for {key_file}: first run `holdfast "
            f"tenant rotate-key {name} --key-file {key_file}` and hand the key out, then `holdfast "
            f"tenant rotate-key {name} --revoke-old`"
        )
    with reach_of(context).admin() as admin:
        if revoke_old:
            admin.revoke_old_keys(name)
            say(f"only the newest key of {name} is valid now")
            return
        with _place_for_key(key_file):
            _hand_over(admin.rotate_key(name), key_file)


@app.command("list")
def list_tenants(context: typer.Context) -> None:
    """List tenants."""
    with reach_of(context).admin() as admin:
        found = admin.list_tenants()
    rows = [
        (
            tenant.name,
            tenant.number,
            tenant.spaces,
            human_bytes(tenant.limit_bytes) if tenant.limit_bytes else "-",
            tenant.keys,
            moment(tenant.created_at_ms),
        )
        for tenant in found
    ]
    table(("tenant", "number", "spaces", "limit a node", "keys", "created"), rows)


@app.command("delete")
def delete(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a tenant with all its spaces and blocks."""
    if not yes:
        typer.confirm(f"Delete tenant {name} with everything it stores?", abort=True)
    with reach_of(context).admin() as admin:
        admin.delete_tenant(name)
    say(f"tenant {name} is deleted")


def moment(at_ms: int) -> str:
    """A time of day for people, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


@contextmanager
def _place_for_key(key_file: Path | None) -> Iterator[None]:
    """The file is tried before a key is made: nobody could ever read one that found no place."""
    is_new = key_file is not None and not key_file.exists()
    if key_file is not None:
        with key_file.open("ab"):
            pass
    try:
        yield
    except BaseException:
        if key_file is not None and is_new:
            key_file.unlink(missing_ok=True)
        raise


def _hand_over(reply: pb.CreateTenantReply, key_file: Path | None) -> None:
    if key_file is None:
        err.print(f"API key of tenant {reply.tenant.name}, shown this once:")
        print(reply.api_key)
        return
    try:
        write_private(key_file, reply.api_key)
    except OSError:
        err.print(f"API key of tenant {reply.tenant.name}, shown this once:")
        print(reply.api_key)
        raise
    say(f"API key of tenant {reply.tenant.name} is in {key_file}")
