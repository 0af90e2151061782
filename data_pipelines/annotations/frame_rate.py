"""The frame rate that an annotation file's frame numbers assume."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

USUAL_RATES = tuple(
    Fraction(rate, 1001) if rate > 1000 else Fraction(rate)
    for rate in (30, 25, 24, 60, 50, 15, 12, 10, 20, 48, 120, 30000, 24000, 60000, 15000)
)
"""Frames a second, likeliest first.

Whole rates come first: the published cutting script finds the start of a second only where the
frame number is a multiple of the rate, so it keeps only the first second of a 29.97 fps video.
"""

_FASTEST = Fraction(240)


def feasible_rates(frames: Iterable[tuple[int, int]]) -> tuple[Fraction, Fraction]:
    """The rates r, in frames a second, at which frame n lies in second s: s <= n / r < s + 1.

    Args:
      frames: pairs (s, n) of one video, both counted from 0.

    Returns:
      `(low, high)`: the rates above low, up to and including high, fit all pairs; no other rate
      below 240 does. If low is not below high, no rate fits.
    """
    low, high = Fraction(0), _FASTEST
    for second, number in frames:
        low = max(low, Fraction(number, second + 1))
        if second:
            high = min(high, Fraction(number, second))
    return low, high


def fit_rate(frames: Iterable[tuple[int, int]]) -> Fraction | None:
    """The first of `USUAL_RATES` that fits all pairs, else the middle of the rates that fit.

    Args:
      frames: pairs (second, frame number) of one video, both counted from 0.

    Returns:
      Frames a second; None if no rate fits.
    """
    low, high = feasible_rates(frames)
    if low >= high:
        return None
    usual = (rate for rate in USUAL_RATES if low < rate <= high)
    return next(usual, (low + high) / 2)
