"""`holdfast space ...`: the KV namespaces of a tenant."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from holdfast._cluster import describe_space, list_space_infos
from holdfast.cli.output import human_bytes, print_json, say, table
from holdfast.cli.reach import reach_of
from holdfast.cli.tenant import moment
from holdfast_proto import meta_pb2 as pb

app = typer.Typer(help="Spaces: KV namespaces of a tenant.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The space's name.")]
_DIGEST_FIRST = re.compile(r"sha256:[0-9a-f]{64}(?![0-9a-f])")
"""How the fingerprints of our engines begin."""
_DIGEST_SHOWN = len("sha256:") + 12
_TEXT_SHOWN = 24


@app.command("create")
def create(
    context: typer.Context,
    name: Name,
    block_bytes: Annotated[
        int, typer.Option(help="Bytes of every block, up to 16 MiB a shard.", min=1)
    ],
    redundancy: Annotated[
        str, typer.Option(help='"single", "mirror:2", or "ec:4+2" for 4 data and 2 parity shards.')
    ] = "single",
    ttl: Annotated[
        int, typer.Option(help="Drop blocks so many seconds after their write; 0: never.", min=0)
    ] = 0,
    priority: Annotated[
        int, typer.Option(help="Higher stays longer in a full arena.", min=0, max=255)
    ] = 0,
    fingerprint: Annotated[
        str, typer.Option(help="What the bytes depend on: model, layout, data type.")
    ] = "",
    force: Annotated[
        bool,
        typer.Option("--force", help="Create it also where fewer nodes or hosts survive less."),
    ] = False,
) -> None:
    """Create a space, or check that it exists with these properties.

    Examples: [bold]holdfast space create llama-3-8b --block-bytes 2097152 --redundancy mirror:2[/],
    [bold]holdfast space create shards --block-bytes 4194304 --redundancy ec:4+2[/]
    """
    with reach_of(context).cluster() as cluster:
        space = cluster.space(
            name,
            block_bytes=block_bytes,
            redundancy=redundancy,
            ttl=ttl,
            priority=priority,
            fingerprint=fingerprint,
            create=True,
            force=force,
        )
        say(f"space {space.name} has number {space.number}")
        survival = space.survival
        if survival is not None and not survival.is_whole:
            say(f"{survival}")


@app.command("list")
def list_spaces(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, with whole fingerprints.")
    ] = False,
) -> None:
    """List the tenant's spaces; of a long fingerprint only the beginning.

    Example: [bold]holdfast space list[/]
    """
    with reach_of(context).cluster() as cluster:
        infos = list_space_infos(cluster)
    if as_json:
        print_json([_values(info) for info in infos])
        return
    columns = ("space", "number", "block", "redundancy", "ttl", "priority", "fingerprint")
    table(columns, [_cells(info) for info in infos])


@app.command("describe")
def describe(context: typer.Context, name: Name) -> None:
    """Show everything that is known of a space."""
    with reach_of(context).cluster() as cluster:
        info = describe_space(cluster, name)
    rows = [
        ("name", info.name),
        ("tenant", f"{info.tenant} (number {info.tenant_number})"),
        ("number", info.number),
        ("block", f"{human_bytes(info.block_bytes)} ({info.block_bytes} bytes)"),
        ("redundancy", info.redundancy),
        ("time to live", f"{info.ttl_s} s" if info.ttl_s else "none"),
        ("priority", info.priority),
        ("fingerprint", info.fingerprint or "-"),
        ("generation", info.generation),
        ("created", moment(info.created_at_ms)),
    ]
    table(("property", "value"), rows)


@app.command("delete")
def delete(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a space with all its blocks."""
    if not yes:
        typer.confirm(f"Delete space {name} with all its blocks?", abort=True)
    with reach_of(context).cluster() as cluster:
        cluster.delete_space(name)
    say(f"space {name} is deleted")


def _cells(info: pb.SpaceInfo) -> tuple[object, ...]:
    return (
        info.name,
        info.number,
        human_bytes(info.block_bytes),
        info.redundancy,
        f"{info.ttl_s} s" if info.ttl_s else "-",
        info.priority,
        short_fingerprint(info.fingerprint) or "-",
    )


def _values(info: pb.SpaceInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "tenant": info.tenant,
        "tenant_number": info.tenant_number,
        "number": info.number,
        "block_bytes": info.block_bytes,
        "redundancy": info.redundancy,
        "ttl_s": info.ttl_s,
        "priority": info.priority,
        "fingerprint": info.fingerprint,
        "generation": info.generation,
        "created_at_ms": info.created_at_ms,
    }


def short_fingerprint(text: str) -> str:
    """Enough to tell fingerprints apart in a column; `space describe` shows the whole."""
    if _DIGEST_FIRST.match(text):
        return text[:_DIGEST_SHOWN]
    return text if len(text) <= _TEXT_SHOWN else f"{text[:_TEXT_SHOWN]}..."
