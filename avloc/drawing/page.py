"""A run as one HTML file that needs nothing beside it: tables, curves, pictures."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from avloc.drawing.bars import Bars, bars_svg
from avloc.drawing.charts import SERIES_COLOURS, Curve, svg

__all__ = ["Bars", "Cell", "Curve", "Picture", "Table", "write_report"]


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


@dataclass(frozen=True)
class Picture:
    """An image with what it shows.

    Attributes:
      caption: below it.
      image: RGB.
    """

    caption: str
    image: UInt8[np.ndarray, "H W 3"]


def write_report(
    path: str | Path,
    *,
    title: str,
    config_text: str = "",
    tables: Sequence[Table] = (),
    bars: Sequence[Bars] = (),
    curves: Sequence[Curve] = (),
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Writes the report, whole or not at all, and returns its path.

    Args:
      path: of the HTML file; its folder is made if need be.
      title: heading.
      config_text: shown folded, as it is.
      tables: first, in this order.
      bars: charts after the tables.
      curves: after the bars.
      pictures: a grid after the curves.
      notes: paragraphs under the heading.

    Raises:
      ValueError: a picture is not `[H, W, 3]` uint8.
    """
    body = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(note)}</p>" for note in notes)]
    body += [_table(table) for table in tables]
    if bars:
        body.append("<h2>Counts</h2>" + _grid("curves", [_chart(b, bars_svg(b)) for b in bars]))
    if curves:
        body.append("<h2>Curves</h2>" + _grid("curves", [_chart(c, svg(c)) for c in curves]))
    if pictures:
        shown = [_picture(picture) for picture in pictures]
        body.append("<h2>Pictures</h2>" + _grid("pictures", shown))
    if config_text:
        folded = f"<details><summary>Show</summary><pre>{escape(config_text)}</pre></details>"
        body.append(f"<h2>Configuration</h2>{folded}")
    page = _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(body))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(page, encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{_cell(row[0])}</th>'
        + "".join(f"<td{_long(cell)}>{_cell(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<section><h2>{escape(table.title)}</h2><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}</section>"
    )


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, Cell) and cell.aside:
        return f"{escape(cell.text)} <small>{escape(cell.aside)}</small>"
    return escape(str(cell))


def _long(cell: str | Cell) -> str:
    """A class for cells of prose, which are set as such and not as figures."""
    return ' class="prose"' if len(str(cell)) > 40 else ""


def _chart(chart: Curve | Bars, drawn: str) -> str:
    legend = "".join(
        f'<li><i style="background:var(--series-{number % SERIES_COLOURS})"></i>{escape(name)}</li>'
        for number, name in enumerate(chart.series)
    )
    return (
        f"<figure><figcaption>{escape(chart.title)}</figcaption>{drawn}<ul>{legend}</ul></figure>"
    )


def _picture(picture: Picture) -> str:
    image = np.asarray(picture.image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            f"picture {picture.caption!r} must be [H, W, 3] uint8, not {image.shape} {image.dtype}"
        )
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _grid(kind: str, figures: Sequence[str]) -> str:
    return f'<div class="{kind}">{"".join(figures)}</div>'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

# Okabe and Ito's palette, told apart by colour-blind readers; lightened on dark pages.
_STYLE = """
:root { color-scheme: light dark; --page: #fdfdfc; --card: #fff; --text: #1d2126; --dim: #5d6670;
  --line: #dde1e5; --series-0: #0072b2; --series-1: #d55e00; --series-2: #009e73;
  --series-3: #b3578f; --series-4: #b98600; --series-5: #2f8fc4; --series-6: #7a6b00;
  --series-7: #444b53; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --text: #e6e8ea;
  --dim: #9aa4ae; --line: #343a41; --series-0: #56a9e8; --series-1: #ff8a47; --series-2: #2fc79a;
  --series-3: #e08fc0; --series-4: #e8b53a; --series-5: #8fd0f5; --series-6: #d6cb4a;
  --series-7: #c3cad1; } }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; }
p { max-width: 72ch; margin: 0 0 .6rem; }
.note, small, figcaption, summary { color: var(--dim); }
.note { font-size: .85rem; margin-top: .5rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .8rem; text-align: right; white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; }
thead th { font-size: .85rem; white-space: normal; vertical-align: bottom; font-weight: 600;
  border-bottom: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody th { font-weight: 600; }
td.prose { white-space: normal; text-align: left; min-width: 30ch; overflow-wrap: anywhere; }
td small { display: block; font-size: .75em; line-height: 1.2; }
figure { margin: 0; padding: .8rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); }
.curves, .pictures { display: grid; gap: 1rem; }
.curves { grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
.pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 220px), 1fr)); }
.pictures img { display: block; width: 100%; border-radius: 4px; margin-bottom: .5rem; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.curves figcaption { color: var(--text); font-weight: 600; }
.curves ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; margin: .3rem 0 0;
  padding: 0; font-size: .82rem; }
.curves i { display: inline-block; width: .9rem; height: .2rem; border-radius: 2px;
  margin-right: .4rem; vertical-align: middle; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--dim); font-size: 14px; }
svg .grid { stroke: var(--line); }
svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); font-size: .82rem; }
summary { cursor: pointer; }
"""
