"""Model-free predictions on the same items: a score means little unless it is above these.

Each function returns a function of a batch, for the evaluator. None of them predicts clusters
(`cluster` is -1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from avloc.evaluation.edges import pixel_edges
from avloc.evaluation.protocols import Protocol
from avloc.types import Batch, Prediction

Predict = Callable[[Batch], Prediction]

DEAF = ("all objects", "all that sounds")
"""Rows of scenes that draw true boxes into one map for all classes: they name nothing."""


def model_free(
    grid: tuple[int, int], n: int, protocol: Protocol | None = None
) -> dict[str, Predict]:
    """All baselines by the name of their row; the protocol is for those that see the boxes.

    `DEAF` rows are for scenes, where something is silent or sounds of several classes differ.
    """
    rows = {
        "whole image": whole_image(grid, n),
        "centred box": centred_box(grid, n),
        "random map": random_map(grid, n),
    }
    if protocol is not None and protocol.task == "multiple":
        objects, sounds = DEAF
        rows[objects] = seen(grid, protocol, silent=True)
        rows[sounds] = seen(grid, protocol, silent=False)
    return rows | {"ceiling": ceiling(grid, n, protocol)}


def whole_image(grid: tuple[int, int], n: int) -> Predict:
    """Every cell, for every category; see `centred_box` for the arguments."""
    return _always(np.ones(grid, np.float32), n)


def centred_box(grid: tuple[int, int], n: int) -> Predict:
    """A box in the middle that covers half of the area (to the nearest cell), for every category.

    Args:
      grid: cells of the model's maps, `(h, w)`.
      n: categories; 1 where there are none.
    """
    margin = (1 - np.sqrt(0.5)) / 2
    box = np.array([margin, margin, 1 - margin, 1 - margin], np.float32)
    return _always(boxes_on_grid(box[None], grid)[0], n)


def _always(map: Float[np.ndarray, "h w"], n: int) -> Predict:
    """One map for each of n categories of every item."""

    def predict(batch: Batch) -> Prediction:
        size = len(batch.mask)
        return Prediction(
            maps=np.broadcast_to(map[..., None], (size, *map.shape, n)),
            scores=np.full((size, n), 0.5, np.float32),
            heard=np.full((size, n), 0.5, np.float32),
            localization=np.broadcast_to(map, (size, *map.shape)),
            cluster=np.full(size, -1, np.int32),
        )

    return predict


def random_map(grid: tuple[int, int], n: int, seed: int = 0) -> Predict:
    """Every cell uniform in 0..1; the same for an item in any batch."""

    def predict(batch: Batch) -> Prediction:
        drawn = [
            np.random.default_rng((seed, int(i))).random((*grid, n + 1), np.float32)
            for i in np.asarray(batch.index)
        ]
        values = np.stack(drawn)
        return Prediction(
            maps=values[..., :n],
            scores=values[:, 0, 0, :n],
            heard=values[:, 0, 0, :n],
            localization=values[..., n],
            cluster=np.full(len(values), -1, np.int32),
        )

    return predict


def ceiling(grid: tuple[int, int], n: int, protocol: Protocol | None = None) -> Predict:
    """The true boxes of what sounds, drawn on a grid: the best that rule and grid allow.

    At the protocol's own size it is the best score of each item that the rule allows. That is 1,
    unless the rule is a quantile: then half of a map is predicted whatever its values, and a
    source of area s under a rule that predicts p gets min(s, p) / max(s, p). (This assumes a map
    without equal pixels, as models give. A map that is flat over half of its area, such as the
    boxes themselves, is cut to less and could pass the ceiling.)

    It is not a bound for detection metrics: touching objects of one map become one box, and silent
    objects, which mAP50 requires too, are not drawn.

    Args:
      grid: cells of the maps, `(h, w)`; the model's, or `(size, size)` of the protocol.
      n: categories; 1 where there are none.
      protocol: for the rules; without it, boxes are drawn as they are.
    """
    best = _best(grid, protocol)

    def predict(batch: Batch) -> Prediction:
        sounding = np.asarray(batch.sounding)
        boxes = np.asarray(batch.boxes)
        drawn = _drawn(boxes, grid, protocol) * sounding[..., None, None]
        of_category = np.asarray(batch.labels)[..., None] == np.arange(n)
        maps = best(np.einsum("bmhw,bmn->bhwn", drawn, of_category.astype(np.float32)))
        return Prediction(
            maps=maps,
            scores=maps.max((1, 2)),
            heard=(of_category & sounding[..., None]).any(1).astype(np.float32),
            localization=best(drawn.sum(1)[..., None])[..., 0],
            cluster=np.full(len(boxes), -1, np.int32),
        )

    return predict


def seen(grid: tuple[int, int], protocol: Protocol, *, silent: bool) -> Predict:
    """The true boxes as one map for all categories: where objects are, but not which of them.

    Args:
      grid: see `ceiling`.
      protocol: for the rules.
      silent: whether objects that make no sound are drawn too.
    """
    best = _best(grid, protocol)

    def predict(batch: Batch) -> Prediction:
        drawn = _drawn(np.asarray(batch.boxes), grid, protocol)
        shown = np.ones(drawn.shape[:2], bool) if silent else np.asarray(batch.sounding)
        maps = best((drawn * shown[..., None, None]).sum(1)[..., None])
        return Prediction(
            maps=maps,
            scores=maps.max((1, 2)),
            heard=np.zeros((len(maps), 1), np.float32),
            localization=maps[..., 0],
            cluster=np.full(len(maps), -1, np.int32),
        )

    return predict


def _best(
    grid: tuple[int, int], protocol: Protocol | None
) -> Callable[[np.ndarray], Float[np.ndarray, "B h w N"]]:
    """What makes a map of counted boxes that a protocol's rule cuts as they are."""
    votes = 2 if protocol is not None and protocol.iou == "consensus" else 1
    # Between 0 and 1, all different.
    order = np.linspace(0, 1, grid[0] * grid[1], dtype=np.float32).reshape(*grid, 1)

    def best(drawn: np.ndarray) -> np.ndarray:
        drawn = np.minimum(drawn, votes) / np.float32(votes)
        if protocol is None or protocol.threshold.of != "quantile":
            return drawn
        return np.where(drawn.any((1, 2), keepdims=True), (drawn + 0.4 * order) / 1.4, 0)

    return best


def _drawn(
    boxes: Float[np.ndarray, "*slots 4"], grid: tuple[int, int], protocol: Protocol | None
) -> Float[np.ndarray, "*slots h w"]:
    if protocol is not None and grid == (protocol.size, protocol.size):
        return _boxes_at_size(boxes, protocol)
    return boxes_on_grid(boxes, grid)


def _boxes_at_size(
    boxes: Float[np.ndarray, "*slots 4"], protocol: Protocol
) -> Float[np.ndarray, "*slots size size"]:
    """1 in the pixels of a box, else 0."""
    edges, place = pixel_edges(boxes, protocol.size, protocol.edges), np.arange(protocol.size)
    low, high = edges[..., :2, None], edges[..., 2:, None]
    sides = ((low <= place) & (place < high)).astype(np.float32)
    return sides[..., 0, :, None] * sides[..., 1, None, :]


def boxes_on_grid(
    boxes: Float[np.ndarray, "*slots 4"], grid: tuple[int, int]
) -> Float[np.ndarray, "*slots h w"]:
    """1 in the rows and columns that a box covers by half or more, else 0.

    A box that covers no row or column by half gets the one that it covers most; a box without area
    gets none.
    """
    rows = _covered(boxes[..., 0], boxes[..., 2], grid[0])
    columns = _covered(boxes[..., 1], boxes[..., 3], grid[1])
    return rows[..., :, None] * columns[..., None, :]


def _covered(
    low: Float[np.ndarray, "*slots"], high: Float[np.ndarray, "*slots"], cells: int
) -> Float[np.ndarray, "*slots cells"]:
    start = np.arange(cells)
    ends = np.minimum(high[..., None] * cells, start + 1)
    share = np.clip(ends - np.maximum(low[..., None] * cells, start), 0, 1)
    most = (share == share.max(-1, keepdims=True)) & (share > 0)
    half = share >= 0.5
    return np.where(half.any(-1, keepdims=True), half, most).astype(np.float32)
