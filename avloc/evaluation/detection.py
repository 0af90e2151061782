"""Localization as detection: average precision of boxes from maps against annotated boxes.

Boxes surround the connected regions in which a map reaches half of its own maximum (CSOL 4.4);
the score of a box is the largest activation in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array

from avloc.evaluation.bootstrap import Interval, mean_of_known, ratio
from avloc.evaluation.items import Items
from avloc.evaluation.measuring import Detections
from avloc.evaluation.results import metric

_AT_ONCE = 2**14  # boxes compared with the objects of their items


def detection(
    found: Detections,
    items: Items,
    labels: Int[np.ndarray, "S M"],
    wanted: Bool[np.ndarray, "S M"],
    least: float,
    resample: Callable[..., Interval],
) -> dict[str, float]:
    """Mean over categories of the average precision at a box IoU, in per cent.

    As in PASCAL VOC: for each category, boxes are taken in order of decreasing score; a box is
    right if the wanted object that it overlaps most has an IoU of `least` or more and is not taken
    yet.
    All-point interpolation (`average_precision_of`). Categories without a wanted object are left
    out.

    Args:
      found: boxes.
      items: the items of the boxes.
      labels: category of each object, as `found.category` counts them.
      wanted: which objects are to be found.
      least: IoU.
      resample: gives a value its interval over videos.
    """
    right = hits(found, items.boxes, labels, wanted, least)
    videos, group = np.unique(items.video, return_inverse=True)
    curves = [
        _curve(
            found.scores[found.category == n],
            right[found.category == n],
            group[found.item[found.category == n]],
            np.bincount(group, (wanted & (labels == n)).sum(1), len(videos)),
        )
        for n in np.unique(labels[wanted])
    ]

    def mean(_: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return mean_of_known(np.stack([average_precision_of(c, weights) for c in curves], -1))

    return metric(resample(videos, videos, mean), 100)


def hits(
    found: Detections,
    boxes: Float[np.ndarray, "S M 4"],
    labels: Int[np.ndarray, "S M"],
    wanted: Bool[np.ndarray, "S M"],
    least: float,
) -> Bool[np.ndarray, " D"]:
    """Whether each box is right."""
    best, near = np.zeros(len(found.item), int), np.zeros(len(found.item), bool)
    for start in range(0, len(best), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        item = found.item[some]
        same = wanted[item] & (labels[item] == found.category[some, None])
        overlap = np.where(same, box_iou(found.boxes[some, None], boxes[item]), -1.0)
        best[some], near[some] = overlap.argmax(-1), overlap.max(-1) >= least
    order = np.argsort(-found.scores, kind="stable")
    order = order[near[order]]
    objects = found.item[order] * labels.shape[1] + best[order]
    _, first = np.unique(objects, return_index=True)
    right = np.zeros(len(near), bool)
    right[order[first]] = True
    return right


def box_iou(
    one: Float[np.ndarray, "*n 4"], other: Float[np.ndarray, "*n 4"]
) -> Float[np.ndarray, "*n"]:
    """Intersection over union of `[ymin, xmin, ymax, xmax]`, 0 where both are empty."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    common = np.maximum(high - low, 0).prod(-1)
    area = sum(np.maximum(x[..., 2:] - x[..., :2], 0).prod(-1) for x in (one, other))
    return common / np.maximum(area - common, 1e-12)


class _Curve(NamedTuple):
    """What is found down to each of `J` thresholds that have something right, by video.

    Attributes:
      right: how much right is added at each.
      all: how much is added at each, since the one before.
      objects: to be found.
    """

    right: csr_array
    all: csr_array
    objects: Float[np.ndarray, " videos"]


def _curve(scores: np.ndarray, right: np.ndarray, group: np.ndarray, objects: np.ndarray) -> _Curve:
    order = np.argsort(-scores, kind="stable")
    scores, right, group = scores[order], right[order], group[order]
    # Equal scores are one threshold; those without anything right are on no corner of the curve.
    tied = np.cumsum(np.r_[False, scores[1:] != scores[:-1]]) if len(scores) else scores.astype(int)
    corner = np.bincount(tied, right) > 0 if len(scores) else np.zeros(0, bool)
    step = (np.cumsum(corner) - corner)[tied]
    kept = step < corner.sum()
    shape = (int(corner.sum()), len(objects))

    def added(which: np.ndarray) -> csr_array:
        return coo_array((np.ones(which.sum()), (step[which], group[which])), shape=shape).tocsr()

    return _Curve(added(kept & right), added(kept), objects.astype(np.float64))


def average_precision_of(curve: _Curve, weights: Float[np.ndarray, "d videos"]) -> np.ndarray:
    """`sum_j (R_j - R_j-1) max_i>=j P_i`: the area under the falling envelope of the curve.

    Args:
      curve: of one category.
      weights: how often each video counts.

    Returns:
      `[d]` in 0..1, nan where no object has weight.
    """
    right = np.cumsum(curve.right @ weights.T, axis=0)
    precision = right / np.maximum(np.cumsum(curve.all @ weights.T, axis=0), 1e-12)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    gained = np.diff(right, axis=0, prepend=0)
    return ratio((gained * envelope).sum(0), weights @ curve.objects)


def sounding_and_all(
    found: Detections | None,
    items: Items,
    known: Bool[np.ndarray, "S M"],
    resample: Callable[..., Interval],
) -> dict[str, Any]:
    """`sounding mAP30`, and `mAP50` of all objects where silent ones are annotated too.

    Args:
      found: None if the method does not distinguish categories; then there are no metrics.
      items: scenes that are scored.
      known: objects in the picture whose place and category are known.
      resample: gives a value its interval over videos.
    """
    if found is None:
        return {}
    sounding = known & items.sounding
    metrics = {"sounding mAP30": detection(found, items, items.labels, sounding, 0.3, resample)}
    if (known & ~items.sounding).any():
        metrics["mAP50"] = detection(found, items, items.labels, known, 0.5, resample)
    return metrics
