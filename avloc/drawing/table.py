"""A table: as Markdown for files and logs, and as wide as the terminal for who sits there."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

_GAP = 3  # between two columns of rich's table
PROSE = 40
"""Cells with more letters than this are prose, and are set as such and not as figures."""


class Cell(NamedTuple):
    """A value and what stands small beside it, such as its interval."""

    text: str
    aside: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.aside}".strip()


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
      title: above it.
      columns: heads, one a column.
      rows: of text or `Cell`, as many as there are columns.
      note: below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: row {row[0]!r} has {len(row)} cells, "
                    f"there are {len(self.columns)} columns"
                )

    def markdown(self) -> str:
        """As Markdown, padded so that the columns stand straight in plain text."""
        lines = [[str(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(self.columns))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        padded = [
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            for line in (lines[0], rule, *lines[1:])
        ]
        text = "\n".join("| " + " | ".join(line) + " |" for line in padded)
        return f"{text}\n\n{self.note}" if self.note else text

    def text(self, width: int | None = None) -> str:
        """As text no wider than so many letters; None: as Markdown, of whatever width.

        What stands beside a value goes under it where there is no room, and columns that do not fit
        follow below, with the names of the rows again.
        """
        if width is None:
            return self.markdown()
        if self._fits(range(1, len(self.columns)), width, " "):
            parts = [self._draw(range(1, len(self.columns)), width, " ")]
        else:
            parts = [self._draw(group, width, "\n") for group in self._groups(width)]
        return "\n\n".join([*parts, *([textwrap.fill(self.note, width)] if self.note else [])])

    def _groups(self, width: int) -> list[list[int]]:
        """Columns that fit beside each other, behind the first."""
        groups: list[list[int]] = []
        for column in range(1, len(self.columns)):
            if groups and self._fits([*groups[-1], column], width, "\n"):
                groups[-1].append(column)
            else:
                groups.append([column])
        return groups

    def _fits(self, columns: Sequence[int], width: int, beside: str) -> bool:
        return _least(self._drawn(columns, beside)) <= width

    def _draw(self, columns: Sequence[int], width: int, beside: str) -> str:
        drawn = self._drawn(columns, beside)
        # Too wide rather than without its figures, in a terminal of a few letters.
        console = _console(max(width, _least(drawn)))
        console.print(drawn)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())

    def _drawn(self, columns: Sequence[int], beside: str) -> Drawn:
        """Some columns behind the first; `beside` stands between a value and its aside."""
        drawn = Drawn(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        told = {i: [_words(row[i], beside) for row in self.rows] for i in (0, *columns)}
        for i, cells in told.items():
            head, longest = self.columns[i], _longest(cells)
            if i == 0 or longest > PROSE:
                drawn.add_column(Text(head), min_width=min(longest, PROSE // 2), overflow="fold")
                continue
            width = max(longest, *map(len, head.split()), 1)
            head = "\n".join(textwrap.wrap(head, width))
            drawn.add_column(Text(head), min_width=width, no_wrap=True, justify="right")
        for line in zip(*told.values(), strict=True):
            drawn.add_row(*map(Text, line))
        return drawn


def _words(cell: str | Cell, beside: str) -> str:
    return f"{cell.text}{beside}{cell.aside}".strip() if isinstance(cell, Cell) else cell


def _longest(cells: Sequence[str]) -> int:
    return max((len(line) for cell in cells for line in cell.split("\n")), default=0)


def _console(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)


def _least(drawn: Drawn) -> int:
    """The width below which figures would be lost."""
    return sum(column.min_width or 0 for column in drawn.columns) + _GAP * (len(drawn.columns) - 1)


def terminal_width() -> int | None:
    """Letters of a line, where standard output is a terminal; None where it is not."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
