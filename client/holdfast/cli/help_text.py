"""Help texts: paragraphs of docstrings, to be broken where the terminal ends, not the source."""

from __future__ import annotations

import inspect

import typer


def join_paragraphs(app: typer.Typer) -> None:
    """Gives every command of `app` and its groups its docstring with one line a paragraph."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.help = _joined(inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            join_paragraphs(group.typer_instance)


def _joined(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
