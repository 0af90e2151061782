"""Bar charts as SVG text that takes its colours from the page around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from avloc.drawing.charts import SERIES_COLOURS, fitted, short, text_width, ticks

_WIDTH, _LEFT, _TOP, _BOTTOM = 460, 150, 6, 28
_ROW, _BAR, _GAP = 22, 14, 8


@dataclass(frozen=True)
class Bars:
    """A horizontal bar for each row, of parts laid end to end.

    Attributes:
      title: above the chart.
      rows: name of each row, and the length of its parts, 0 or more, in the order of `parts`.
      parts: what each part counts.
    """

    title: str
    rows: Mapping[str, Sequence[float]]
    parts: Sequence[str]

    def __post_init__(self) -> None:
        for name, lengths in self.rows.items():
            if len(lengths) != len(self.parts) or min(lengths, default=0) < 0:
                raise ValueError(
                    f"bars {self.title!r}: row {name!r} needs {len(self.parts)} lengths of 0 or "
                    f"more, not {list(lengths)}"
                )

    @property
    def series(self) -> Sequence[str]:
        """Names for a legend."""
        return self.parts


def bars_svg(bars: Bars) -> str:
    """The chart, without its title and legend; each part tells its length on hovering."""
    height = _TOP + _ROW * max(1, len(bars.rows)) + _BOTTOM
    totals = [sum(lengths) for lengths in bars.rows.values()]
    marks = ticks([0, max(totals, default=0) or 1])
    beside = max((text_width(_whole(total)) for total in totals), default=0)
    right = _WIDTH - max(beside + 2 * _GAP, text_width(short(marks[-1])) / 2)
    scale = (right - _LEFT) / marks[-1]
    marks = marks[:: 1 + len(marks) // 6]
    floor = height - _BOTTOM
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(bars.title)}">']
    for mark in marks:
        at = round(_LEFT + mark * scale, 1)
        parts.append(f'<path class="grid" d="M{at} {_TOP}V{floor}"/>')
        parts.append(f'<text x="{at}" y="{floor + 18}" text-anchor="middle">{short(mark)}</text>')
    for row, (name, lengths) in enumerate(bars.rows.items()):
        top = _TOP + row * _ROW
        parts.append(
            f'<text x="{_LEFT - _GAP}" y="{top + _ROW / 2 + 5}" text-anchor="end">'
            f"{fitted(name, _LEFT - _GAP)}</text>"
        )
        left = float(_LEFT)
        for number, (part, length) in enumerate(zip(bars.parts, lengths, strict=True)):
            if not length:
                continue
            hint = escape(f"{name}, {part}: {_whole(length)}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top + (_ROW - _BAR) / 2}" width="{length * scale:.1f}" '
                f'height="{_BAR}" style="fill:var(--series-{number % SERIES_COLOURS})">'
                f"<title>{hint}</title></rect>"
            )
            left += length * scale
        total = _whole(sum(lengths))
        parts.append(f'<text x="{left + _GAP:.1f}" y="{top + _ROW / 2 + 5}">{total}</text>')
    return "".join([*parts, "</svg>"])


def _whole(count: float) -> str:
    """A count with all its digits: `132,345`."""
    return f"{count:,.10g}"
