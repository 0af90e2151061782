"""Boxes as pixels, by two rules, because published codes differ by a pixel."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Rule = Literal["floored", "published"]

# An edge stored as float32 may be a rounding error below the pixel boundary it stands for.
_EDGE_SLACK = 1e-4
_ROUNDING = 2.0**-24  # of a float32 in 0..1
_LARGEST = 2560  # denominators: pixels of an annotated frame, twice that where it is a quadrant


def pixel_edges(
    boxes: Float[np.ndarray, "*slots 4"], size: int, rule: Rule = "floored"
) -> Int[np.ndarray, "*slots 4"]:
    """`[ymin, xmin, ymax, xmax]` in pixels: first inside, first outside.

    `floored`: the edge times the size, floored, with a slack of 1e-4 of a pixel, so that float32
    edges that stand for a pixel boundary stay on it. `published`: as the DSOL and C2F codes do,
    `int(x * size)` and `int(x * size + w * size)` in float64, which falls a pixel short where the
    sum is rounded to just below a boundary. This needs the fractions that the float32
    edges were made from: `k / width` of an annotated frame, taken back where one lies within
    rounding.

    Args:
      boxes: in 0..1.
      size: side in pixels.
      rule: see above.
    """
    if rule == "floored":
        edges = np.floor(np.asarray(boxes, np.float32) * np.float32(size) + np.float32(_EDGE_SLACK))
    else:
        boxes = np.asarray(boxes, np.float64)
        above, below = _fraction(boxes)
        whole = np.maximum(below, 1)
        exact = np.where(below > 0, above / whole, boxes)
        low, high = exact[..., :2], exact[..., 2:]
        length = above[..., 2:] * whole[..., :2] - above[..., :2] * whole[..., 2:]
        length = length / (whole[..., :2] * whole[..., 2:])
        known = (below[..., :2] > 0) & (below[..., 2:] > 0)
        length = np.where(known, length, high - low)
        edges = np.floor(np.concatenate([low * size, low * size + length * size], -1))
    return np.clip(edges, 0, size).astype(np.int32)


def _fraction(
    values: Float[np.ndarray, "*slots"],
) -> tuple[Float[np.ndarray, "*slots"], Float[np.ndarray, "*slots"]]:
    """The simplest fraction within float32 rounding, as two whole numbers; `0 / 0` without one.

    It is a convergent of the value's continued fraction, because its denominator is small.
    """
    above, below = np.zeros_like(values), np.zeros_like(values)
    tops, bottoms = (below, above + 1), (below + 1, above)
    rest = values
    for _ in range(12):
        whole = np.floor(rest)
        tops = tops[1], whole * tops[1] + tops[0]
        bottoms = bottoms[1], whole * bottoms[1] + bottoms[0]
        inside = (below == 0) & (bottoms[1] > 0) & (bottoms[1] <= _LARGEST)
        inside &= np.abs(values - tops[1] / np.maximum(bottoms[1], 1)) <= _ROUNDING
        above, below = np.where(inside, tops[1], above), np.where(inside, bottoms[1], below)
        part = rest - whole
        rest = np.where(part > 1e-7, 1 / np.maximum(part, 1e-7), 0)
    return above, below
