"""What is said of an option of all commands that was given behind a command's name."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class GroupWithSharedOptions(TyperGroup):
    """The outermost group: its options stand before the name of the command."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; an error for an option of this group's says where that belongs."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Typer exports no name for this class, and has moved it from one version to another.
            if type(error).__name__ == "NoSuchOption":
                self._say_where(error)
            raise

    def _say_where(self, error: Any) -> None:
        name = error.option_name
        if any(name in parameter.opts for parameter in self.params):
            error.message += f": it goes before the command, `holdfast {name} ...`"
            # Options of similar names would only lead astray.
            error.possibilities = None
