"""From maps to boxes: connected parts where a map is high."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from avloc.drawing.regions import SMALLEST, region
from avloc.drawing.rendering import upsample
from avloc.evaluation.metrics import ROUNDING


class Found(NamedTuple):
    """`n` boxes in some maps.

    Attributes:
      place: index of the map that each box is in, in ascending order.
      boxes: `[ymin, xmin, ymax, xmax]` as fractions of the image.
      scores: the largest activation in the box's region; of one map, highest first.
    """

    place: Int[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]


def boxes_from_map(
    map: Float[np.ndarray, "h w"], *, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]:
    """Boxes around the parts of a map's region, as it is drawn (`avloc.drawing.regions`).

    Args:
      map: activation, 0 to 1. A map of zeros has no boxes.
      size: (H, W) to enlarge to, in pixels; boxes have the resolution of its pixels.

    Returns:
      `[ymin, xmin, ymax, xmax]` as fractions of the image, and the score of each box: the largest
      activation in it. Highest score first. A region that is everywhere has the frame as its box.
    """
    map = np.asarray(map, np.float32)
    full = upsample(map, size)
    if full.max() <= 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    cell = full.size / map.size
    part = region(full, cell)
    if part.everywhere:
        return np.array([[0, 0, 1, 1]], np.float32), full.max(keepdims=True).ravel()
    found = _boxes_above(full[None], np.array([part.level]), cell)
    return found.boxes, found.scores


def boxes_of(maps: Float[np.ndarray, "k H W"], cell: float, threshold: float = 0.5) -> Found:
    """Boxes around the connected parts of many maps at once, each scaled from 0 to 1 first.

    So a pixel counts from `low + threshold * (high - low)` on, of its own map's lowest and highest
    value. Such pixels that touch by a side form a component. A component smaller than half a cell,
    or than a tenth of its map's largest component, is dropped; the largest are always kept. A flat
    map is a box of the whole frame, or none if it has no positive value.

    Args:
      maps: enlarged.
      cell: area of a cell of the original maps, in pixels.
      threshold: share of a map's range, above 0 and at most 1; CSOL 4.4 takes half.

    Raises:
      ValueError: the threshold is outside its range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    maps = np.asarray(maps, np.float32)
    low, high = maps.min((1, 2)), maps.max((1, 2))
    flat = high - low <= ROUNDING * np.abs(high)
    level = np.where(flat, low, low + threshold * (high - low))
    return _boxes_above(maps, np.where(flat & (high <= 0), np.inf, level), cell)


def _boxes_above(
    maps: Float[np.ndarray, "k H W"], level: Float[np.ndarray, " k"], cell: float
) -> Found:
    """Boxes around the components of pixels that reach their map's level."""
    count, height, width = maps.shape
    reached = maps >= level[:, None, None]
    # A pixel of False after every row and before the first: starts and ends of runs alternate.
    framed = np.zeros(1 + count * height * (width + 1), bool)
    framed[1:].reshape(-1, width + 1)[:, :-1] = reached.reshape(-1, width)
    turns = np.flatnonzero(framed[1:] != framed[:-1])
    starts, ends = turns[::2], turns[1::2]
    if not len(starts):
        return Found(np.zeros(0, int), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    row, left, right = starts // (width + 1), starts % (width + 1), ends % (width + 1)
    # The largest value of each run: from its first pixel up to the one after its last.
    spans = np.stack([row * width + left, row * width + right], 1).ravel()
    peaks = np.maximum.reduceat(np.append(maps.ravel(), np.float32(-np.inf)), spans)[::2]
    component = _joined(starts, ends, row, width + 1, height)
    order = np.argsort(component, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(component[order]) > 0])
    row, left, right, peaks = row[order], left[order], right[order], peaks[order]
    place = row[first] // height
    top, bottom = row[first] % height, np.maximum.reduceat(row, first) % height + 1
    edges = (top, np.minimum.reduceat(left, first), bottom, np.maximum.reduceat(right, first))
    boxes = (np.stack(edges, 1) / [height, width, height, width]).astype(np.float32)
    scores = np.maximum.reduceat(peaks, first)
    area = np.add.reduceat(right - left, first)
    largest = np.zeros(count, int)
    np.maximum.at(largest, place, area)
    largest = largest[place]
    kept = (area >= np.maximum(cell / 2, SMALLEST * largest)) | (area == largest)
    order = np.lexsort((-scores, place))
    order = order[kept[order]]
    return Found(place[order], boxes[order], scores[order])


def _joined(
    starts: Int[np.ndarray, " r"],
    ends: Int[np.ndarray, " r"],
    row: Int[np.ndarray, " r"],
    width: int,
    height: int,
) -> Int[np.ndarray, " r"]:
    """The component of each run of pixels; runs join where they overlap one in the next row.

    Args:
      starts: first pixel of each run, counted through all rows; ascending.
      ends: pixel after each run.
      row: of each run, counted through all maps.
      width: of a row; a run never reaches its end.
      height: rows of a map.
    """
    below = np.searchsorted(ends, starts + width, side="right")
    behind = np.searchsorted(starts, ends + width, side="left")
    times = np.where(row % height < height - 1, np.maximum(behind - below, 0), 0)
    last = np.cumsum(times)
    other = np.arange(times.sum()) - np.repeat(last - times - below, times)
    lists = np.ones(len(other)), other, np.append(0, last)
    graph = csr_array(lists, shape=(len(starts),) * 2)
    return connected_components(graph, directed=False)[1]
