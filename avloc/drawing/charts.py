"""Line charts as SVG text that takes its colours from the page around it.

Ours, because no library does all three: one file, dark mode by the page's CSS, a few kB. matplotlib
and vl-convert write fixed colours into their SVG, pygal a style sheet of its own and a script from
the web, plotly megabytes of script.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 260
_TOP, _BOTTOM, _YLABEL, _GAP = 12, 46, 24, 6
_FONT = 14  # as in templates/page.css
SERIES_COLOURS = 8
"""Series colours that the page's style sheet must define, as `--series-0` and so on."""


@dataclass(frozen=True)
class Curve:
    """Lines over common axes.

    Attributes:
      title: above the chart.
      series: points `(x, y)` of each named line, in order of x; points that are not finite are
        left out.
      xlabel: below the chart.
      ylabel: beside it.
    """

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    xlabel: str
    ylabel: str


def svg(curve: Curve) -> str:
    """The chart, without its title and legend; each point tells its values on hovering."""
    series = [
        [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for points in curve.series.values()
    ]
    every = [point for points in series for point in points]
    xs, ys = ticks([x for x, _ in every]), ticks([y for _, y in every])
    left = _YLABEL + max(text_width(short(y)) for y in ys) + _GAP
    right = _WIDTH - max(_GAP, text_width(short(xs[-1])) / 2)
    floor = _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0]) * (right - left)
        up = (y - ys[0]) / (ys[-1] - ys[0]) * (floor - _TOP)
        return round(left + across, 1), round(floor - up, 1)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(curve.title)}">'
    ]
    for y in ys:
        at = place(xs[0], y)[1]
        parts.append(f'<path class="grid" d="M{left:.1f} {at}H{right:.1f}"/>')
        parts.append(
            f'<text x="{left - _GAP:.1f}" y="{at + 5}" text-anchor="end">{short(y)}</text>'
        )
    widest = max(text_width(short(x)) for x in xs) + _GAP
    # The last one stays, others give way.
    for x in xs[:: -math.ceil(widest * (len(xs) - 1) / (right - left))]:
        at = place(x, ys[0])[0]
        parts.append(f'<text x="{at}" y="{floor + 18}" text-anchor="middle">{short(x)}</text>')
    middle = (left + right) / 2
    room = 2 * (_WIDTH - middle)
    parts.append(
        f'<text x="{middle:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{fitted(curve.xlabel, room)}</text>"
    )
    middle = (_TOP + floor) / 2
    parts.append(
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{fitted(curve.ylabel, 2 * middle)}</text>"
    )
    for number, (name, points) in enumerate(zip(curve.series, series, strict=True)):
        colour = f"var(--series-{number % SERIES_COLOURS})"
        placed = [place(x, y) for x, y in points]
        line = " ".join(f"{x},{y}" for x, y in placed)
        parts.append(f'<polyline points="{line}" style="stroke:{colour}"/>')
        for (x, y), (across, down) in zip(points, placed, strict=True):
            hint = escape(f"{name}: {x:g}, {y:.4g}")
            parts.append(
                f'<circle cx="{across}" cy="{down}" r="2.5" style="fill:{colour}">'
                f"<title>{hint}</title></circle>"
            )
    return "".join([*parts, "</svg>"])


def ticks(values: Sequence[float]) -> list[float]:
    """Three to eight round numbers, evenly apart, whose ends enclose the values."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Rounded, so that 3 x 0.1 is written 0.3.
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def short(value: float) -> str:
    """A round number in few letters: `0.3`, `50k`, `1.5M`."""
    if 1e4 <= abs(value) < 1e6:
        return f"{value / 1e3:g}k"
    return f"{value / 1e6:g}M" if 1e6 <= abs(value) < 1e10 else f"{value:g}"


def text_width(text: str) -> float:
    """About the most that a text takes in a chart's units, whatever sans-serif font is there."""
    return _FONT * sum(map(_em, text))


def fitted(text: str, room: float) -> str:
    """A text as SVG, shortened where it is too long for the room; whole on hovering."""
    if text_width(text) <= room:
        return escape(text)
    kept = text
    while kept and text_width(kept + "…") > room:
        kept = kept[:-1]
    return f"{escape(kept.rstrip())}…<title>{escape(text)}</title>"


def _em(letter: str) -> float:
    """Width of a letter in DejaVu Sans, which is wider than most, as a share of the font size."""
    if unicodedata.east_asian_width(letter) in "WF" or letter in "mMwW@%…":
        return 1.0
    if letter in "ijl.,:;|!'()[] ftrI-":
        return 0.42
    return 0.8 if letter.isupper() or letter in "+<>=~&" else 0.65
