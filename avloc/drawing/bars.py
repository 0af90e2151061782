"""Bar charts as SVG text that takes its colours from the page around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from avloc.drawing.charts import SERIES_COLOURS, ticks

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 150, 60, 6, 28
_ROW, _BAR = 22, 14
_LETTERS = 19  # of a name, that fit beside the bars


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
    longest = max((sum(lengths) for lengths in bars.rows.values()), default=0)
    marks = ticks([0, longest or 1])
    marks = marks[:: 1 + len(marks) // 6]
    scale = (_WIDTH - _LEFT - _RIGHT) / ticks([0, longest or 1])[-1]
    floor = height - _BOTTOM
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(bars.title)}">']
    for mark in marks:
        at = round(_LEFT + mark * scale, 1)
        parts.append(f'<path class="grid" d="M{at} {_TOP}V{floor}"/>')
        parts.append(f'<text x="{at}" y="{floor + 18}" text-anchor="middle">{mark:g}</text>')
    for row, (name, lengths) in enumerate(bars.rows.items()):
        top = _TOP + row * _ROW
        short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
        parts.append(
            f'<text x="{_LEFT - 8}" y="{top + _ROW / 2 + 5}" text-anchor="end">'
            f"{escape(short)}<title>{escape(name)}</title></text>"
        )
        left = float(_LEFT)
        for number, (part, length) in enumerate(zip(bars.parts, lengths, strict=True)):
            if not length:
                continue
            hint = escape(f"{name}, {part}: {length:g}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top + (_ROW - _BAR) / 2}" width="{length * scale:.1f}" '
                f'height="{_BAR}" style="fill:var(--series-{number % SERIES_COLOURS})">'
                f"<title>{hint}</title></rect>"
            )
            left += length * scale
        parts.append(f'<text x="{left + 6:.1f}" y="{top + _ROW / 2 + 5}">{sum(lengths):g}</text>')
    return "".join([*parts, "</svg>"])
