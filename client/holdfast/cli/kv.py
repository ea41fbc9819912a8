"""`holdfast kv ...`: blocks by hand."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import Progress

from holdfast._cluster import Cluster
from holdfast._space import Space
from holdfast.cli.output import err, human_bytes, table
from holdfast.cli.reach import reach_of
from holdfast.cli.stored_file import StoredFile
from holdfast.cli.whole_file import replaced_when_whole
from holdfast.errors import FailedPrecondition, NotFound

app = typer.Typer(
    help="Put and get files as blocks of a space, to try things out.", no_args_is_help=True
)
SpaceName = Annotated[str, typer.Argument(help="The space's name.")]
Name = Annotated[str, typer.Argument(help="Name under which the file is kept.")]
LISTED_MAX = 4096


@app.command("put")
def put(
    context: typer.Context,
    space: SpaceName,
    name: Name,
    file: Annotated[str, typer.Argument(help="File to store; - for standard input.")] = "-",
    block_bytes: Annotated[
        int | None, typer.Option(help="Create the space with this block size if it is missing.")
    ] = None,
) -> None:
    """Store a file as blocks; a name that holds another file is refused.

    Example: [bold]holdfast kv put scratch notes notes.txt --block-bytes 65536[/]
    """
    with _seekable(file) as content, reach_of(context).cluster() as cluster:
        stored_file = StoredFile(_opened(cluster, space, block_bytes), name)
        blocks = stored_file.blocks_of(content.seek(0, os.SEEK_END))
        done = None
        with _progress() as progress:
            task = progress.add_task("storing", total=blocks)
            for done in stored_file.put(content):
                progress.update(task, completed=done.blocks)
    if done is None or done.stored + done.present < blocks:
        kept = 0 if done is None else done.stored + done.present
        raise FailedPrecondition(
            f"{kept} of {blocks} blocks were stored: look at `holdfast status` for nodes that are "
            "down or full"
        )
    err.print(
        f"{human_bytes(done.nbytes)} in {blocks} blocks: {done.stored} stored, "
        f"{done.present} were there"
    )


@app.command("get")
def get(
    context: typer.Context,
    space: SpaceName,
    name: Name,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write; - for standard output.")
    ] = "-",
) -> None:
    """Write a stored file out again; every byte is checked.

    Example: [bold]holdfast kv get scratch notes -o copy.txt[/]
    """
    with reach_of(context).cluster() as cluster:
        stored_file = StoredFile(cluster.space(space), name)
        if output == "-":
            _fetch(stored_file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with replaced_when_whole(Path(output)) as file:
            _fetch(stored_file, file)


@app.command("match")
def match(
    context: typer.Context,
    space: SpaceName,
    name: Name,
    blocks: Annotated[int, typer.Option(help="Blocks to look for.", min=1, max=65_536)] = 1024,
) -> None:
    """Print how many of a file's blocks are stored without a gap.

    Example: [bold]holdfast kv match scratch notes[/]
    """
    with reach_of(context).cluster() as cluster:
        opened = cluster.space(space)
        print(opened.match(StoredFile(opened, name).keys(0, blocks)))


@app.command("stat")
def stat(context: typer.Context, space: SpaceName, name: Name) -> None:
    """Show where a file's blocks lie.

    Example: [bold]holdfast kv stat scratch notes[/]
    """
    with reach_of(context).cluster() as cluster:
        rows = _stat_rows(cluster.space(space), name)
    table(("block", "node", "checksum", "write", "reads", "pinned", "age"), rows)


@app.command("delete")
def delete(context: typer.Context, space: SpaceName, name: Name) -> None:
    """Remove a file's blocks.

    Example: [bold]holdfast kv delete scratch notes[/]
    """
    with reach_of(context).cluster() as cluster:
        opened = cluster.space(space)
        stored_file = StoredFile(opened, name)
        deleted = first = 0
        while True:
            result = opened.delete(stored_file.keys(first, LISTED_MAX))
            deleted += result.deleted
            first += LISTED_MAX
            if result.deleted == 0:
                break
    if deleted == 0:
        raise NotFound(f"nothing of {name!r} is stored in space {space!r}")
    err.print(f"{deleted} blocks removed")


def _opened(cluster: Cluster, name: str, block_bytes: int | None) -> Space:
    """The space to put into; made if it is missing and the size of its blocks is given."""
    try:
        return cluster.space(name, block_bytes=block_bytes, create=block_bytes is not None)
    except NotFound:
        raise NotFound(
            f"space {name!r} does not exist: create it with this put by --block-bytes 65536, say, "
            f"or before by `holdfast space create {name} --block-bytes ...`"
        ) from None


def _stat_rows(space: Space, name: str) -> list[tuple[object, ...]]:
    found = space.stat(StoredFile(space, name).keys(0, LISTED_MAX)).blocks
    rows: list[tuple[object, ...]] = [
        (
            index,
            block.node,
            f"{block.crc32c:08x}",
            f"{block.write_id:08x}",
            block.touches,
            "yes" if block.pinned else "no",
            f"{block.age_ms / 1000:.1f} s",
        )
        for index, block in enumerate(found)
        if block is not None
    ]
    if not rows:
        raise NotFound(f"nothing of {name!r} is stored in space {space.name!r}")
    return rows


@contextmanager
def _seekable(file: str) -> Iterator[BinaryIO]:
    """The named file, or - for standard input; what cannot be sought in is copied to disk."""
    if file != "-" and Path(file).is_file():
        with Path(file).open("rb") as content:
            yield content
        return
    with tempfile.TemporaryFile() as copy:
        if file == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with Path(file).open("rb") as content:
                shutil.copyfileobj(content, copy)
        yield copy


def _fetch(stored_file: StoredFile, file: BinaryIO) -> None:
    with _progress() as progress:
        task = progress.add_task("reading", total=None)
        for done, whole in stored_file.get(file):
            progress.update(task, completed=done, total=whole)


def _progress() -> Progress:
    return Progress(console=err, disable=not err.is_terminal, transient=True)
