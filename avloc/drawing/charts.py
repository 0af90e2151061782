"""Line charts as SVG text that takes its colours from the page around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 46
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

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0]) * (_WIDTH - _LEFT - _RIGHT)
        up = (y - ys[0]) / (ys[-1] - ys[0]) * (_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(_HEIGHT - _BOTTOM - up, 1)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(curve.title)}">'
    ]
    for y in ys:
        at = place(xs[0], y)[1]
        parts.append(f'<path class="grid" d="M{_LEFT} {at}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 5}" text-anchor="end">{y:g}</text>')
    for x in xs:
        at = place(x, ys[0])[0]
        parts.append(
            f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{x:g}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(curve.xlabel)}</text>'
    )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(curve.ylabel)}</text>"
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
