"""A table that cuts nothing: where its columns do not fit, each row takes two lines or more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

_GAP = "  "
_INDENT = "    "


class FittingTable:
    """Cells may carry markup. Narrow terminals get as many leading columns as fit, and below each
    row the other cells with their columns' names."""

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = ""
    ) -> None:
        self._columns = columns
        self._rows = [[Text.from_markup(str(cell)) for cell in row] for row in rows]
        self._title = title
        self._widths = [
            max([Text(name).cell_len, *(row[place].cell_len for row in self._rows)])
            for place, name in enumerate(columns)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        # A cell has a blank at each side and a border at its left; the last border comes on top.
        if sum(self._widths) + 3 * len(self._widths) + 1 <= options.max_width:
            yield self._table()
        else:
            yield Text("\n").join(self._lines(options.max_width))

    def _table(self) -> Table:
        shown = Table(title=self._title or None, title_justify="left", header_style="bold")
        for column in self._columns:
            shown.add_column(column)
        for row in self._rows:
            shown.add_row(*row)
        return shown

    def _lines(self, width: int) -> Iterator[Text]:
        leading = 1
        while sum(self._widths[: leading + 1]) + len(_GAP) * leading <= width:
            leading += 1
        if self._title:
            yield Text(self._title)
        yield self._line([Text(name, style="bold") for name in self._columns[:leading]])
        for row in self._rows:
            yield self._line(row[:leading])
            yield from self._others(row, leading, width)

    def _line(self, cells: Sequence[Text]) -> Text:
        padded = []
        for cell, width in zip(cells, self._widths, strict=False):
            shown = cell.copy()
            shown.pad_right(width - cell.cell_len)
            padded.append(shown)
        line = Text(_GAP).join(padded)
        line.rstrip()
        return line

    def _others(self, row: Sequence[Text], leading: int, width: int) -> Iterator[Text]:
        """Named cells, as many a line as fit; one that fits on none is left to the terminal's own
        wrapping, so that it can be copied as it is."""
        line = Text(_INDENT)
        for name, cell in zip(self._columns[leading:], row[leading:], strict=True):
            if not cell.plain:
                continue
            part = Text.assemble((f"{name}: ", "dim"), cell)
            if line.plain != _INDENT:
                if line.cell_len + len(", ") + part.cell_len <= width:
                    line.append(", ")
                else:
                    yield line
                    line = Text(_INDENT)
            line.append_text(part)
        if line.plain != _INDENT:
            yield line
