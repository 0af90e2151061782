"""Scores a predictor on a set of items under a protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from avloc.clustering import (
    CategoryMap,
    cluster_counts,
    cluster_frequencies,
    match,
    nmi,
    purity_report,
)
from avloc.evaluation import metrics
from avloc.evaluation.bootstrap import Interval, interval
from avloc.evaluation.items import (
    Items,
    chunks,
    clip_label,
    collect,
    placed,
    reasons_not_scored,
)
from avloc.evaluation.protocols import Protocol
from avloc.evaluation.results import Evaluation, metric
from avloc.types import Batch, Prediction

# Pixels of resized maps measured at once: 4 MiB of float32, which stay in a CPU's cache.
_PIXELS = 2**20


def evaluate(
    predict: Callable[[Batch], Prediction],
    batches: Iterable[Batch],
    protocol: Protocol,
    categories: CategoryMap | None = None,
    names: Sequence[str] = (),
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Scores predictions against boxes and labels.

    Task `single`: IoU@t and AUC of `localization` against the union of the sounding boxes; NMI
    and purity of `cluster` where labels are known. Task `multiple`: CIoU@t, AUC and NSA of the
    category maps, and the AUROC by which the mean activation of a category's map inside an
    object's box tells sounding objects from silent ones.

    Args:
      predict: of one batch, at evaluation statistics; jitted by the caller.
      batches: the set; padding is left out.
      protocol: see `protocols`.
      categories: category of each cluster, fitted on training clips (`fit_categories`). Without,
        `maps` must be a map a category already, or one map (class-agnostic) for all of them.
      names: of the categories; empty where the set has none.
      draws: of the bootstrap over videos.
      seed: of the bootstrap.

    Raises:
      ValueError: there are no items; labels beyond `names`; maps that fit no category.
    """
    items = collect(predict, batches, protocol, categories, len(names))
    reasons = reasons_not_scored(items, protocol, len(names))
    scored = reasons == ""
    resample = partial(interval, draws=draws, seed=seed)
    clusters = []
    if protocol.task == "single":
        found, rows = _single(items, scored, protocol, resample)
        agreement, clusters = _agreement(items, categories, resample)
        found |= agreement
    else:
        found, rows = _multiple(items, scored, protocol, names, resample)
    return Evaluation(
        protocol=protocol,
        metrics=found,
        evaluated=int(scored.sum()),
        total=len(scored),
        reasons=dict(Counter(reasons[~scored].tolist())),
        items=[
            {"index": int(i), "video": int(v), "not_scored": str(why), **row}
            for i, v, why, row in zip(items.index, items.video, reasons, rows, strict=True)
        ],
        clusters=clusters,
    )


def fit_categories(
    predict: Callable[[Batch], Prediction], batches: Iterable[Batch], names: Sequence[str]
) -> CategoryMap | None:
    """Which category each cluster stands for, by the exact assignment on labelled clips.

    Clips whose sounding objects have one known label count. None where the set has no categories
    or the method no classes (K == 1).

    Raises:
      ValueError: fewer clusters than categories, no clips, or none with a known label.
    """
    if not names:
        return None
    labels, clusters, k = [], [], 0
    for batch in batches:
        prediction = predict(batch)
        k = prediction.maps.shape[-1]
        if k == 1:
            return None
        if k < len(names):
            raise ValueError(
                f"{k} clusters cannot cover {len(names)} categories: set the number of clusters "
                f"to {len(names)} or more"
            )
        mask = np.asarray(batch.mask)
        labels.append(clip_label(np.asarray(batch.labels), np.asarray(batch.sounding))[mask])
        clusters.append(np.asarray(prediction.cluster)[mask])
    if not labels:
        raise ValueError("there are no clips to name clusters by: the split has no items")
    labels, clusters = np.concatenate(labels), np.concatenate(clusters)
    if not ((labels >= 0) & (clusters >= 0)).any():
        raise ValueError(
            f"none of {len(labels)} clips has a known label, so clusters cannot be named: "
            "give clips with labels or leave the class names out"
        )
    frequencies = cluster_frequencies(labels, clusters, len(names), k)
    return CategoryMap(tuple(int(c) for c in match(frequencies)), tuple(names))


def _measure(items: Items, protocol: Protocol) -> metrics.Measures:
    """`metrics.measure` over all items, a bounded number at a time, all of one shape."""
    step = max(1, _PIXELS // (protocol.size**2 * items.maps.shape[-1]))
    largest = np.float32(0)
    if any(rule and rule.of == "largest" for rule in (protocol.threshold, protocol.silent)):
        found = [metrics.largest_value(part.maps, protocol) for part, _ in chunks(items, step)]
        largest = np.max(found)
    parts = []
    for part, size in chunks(items, step):
        arrays = (part.maps, part.boxes, part.labels, part.sounding)
        measured = metrics.measure(*arrays, largest, protocol=protocol)
        parts.append([np.asarray(x)[:size] for x in measured])
    return metrics.Measures(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _single(
    items: Items, scored: np.ndarray, protocol: Protocol, resample: Callable[..., Interval]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    labels = clip_label(items.labels, items.sounding)
    rows = [
        {"iou": "", "label": int(label), "cluster": int(cluster)}
        for label, cluster in zip(labels, items.cluster, strict=True)
    ]
    if not scored.any():
        return {}, rows
    kept = Items(*(field[scored] for field in items))
    # One map for all that sounds: every sounding object is of the one category 0.
    measured = _measure(kept._replace(labels=np.where(kept.sounding, 0, -1)), protocol)
    ious = metrics.iou(measured.overlap, measured.truth, measured.outside)[:, 0]
    for place, value in zip(np.flatnonzero(scored), ious, strict=True):
        rows[place]["iou"] = float(value)
    return _success(ious, "IoU", kept.video, protocol, resample), rows


def _multiple(
    items: Items,
    scored: np.ndarray,
    protocol: Protocol,
    names: Sequence[str],
    resample: Callable[..., Interval],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rows = [{"ciou": "", "nsa": "", "sounding": "", "objects": ""} for _ in scored]
    if not scored.any():
        return {}, rows
    kept = Items(*(field[scored] for field in items))
    measured = _measure(kept, protocol)
    sounds = measured.truth > 0
    ious = metrics.iou(measured.overlap, measured.truth, measured.outside)
    scene = metrics.class_aware_iou(ious, sounds)
    quiet = metrics.no_sounding_area(measured.quiet, sounds)
    known = placed(kept.boxes, protocol) & (kept.labels >= 0)
    for place, i in zip(np.flatnonzero(scored), range(len(scene)), strict=True):
        rows[place] = {
            "ciou": float(scene[i]),
            "nsa": "" if np.isnan(quiet[i]) else float(quiet[i]),
            "sounding": "+".join(names[c] for c in np.flatnonzero(sounds[i])),
            "objects": "; ".join(
                f"{names[kept.labels[i, m]]} {'sounds' if kept.sounding[i, m] else 'silent'} "
                f"{measured.mass[i, m]:.4f}"
                for m in np.flatnonzero(known[i])
            ),
        }
    found = _success(scene, "CIoU", kept.video, protocol, resample)
    some = ~np.isnan(quiet)
    if some.any():
        found["NSA"] = metric(resample(quiet[some], kept.video[some]), 100)
    heard = kept.sounding[known]
    if heard.any() and not heard.all():
        videos = np.broadcast_to(kept.video[:, None], known.shape)[known]
        objects = (measured.mass[known], heard)
        found["AUROC"] = metric(resample(objects, videos, metrics.auroc))
    return found, rows


def _success(
    scores: np.ndarray,
    name: str,
    videos: np.ndarray,
    protocol: Protocol,
    resample: Callable[..., Interval],
) -> dict[str, Any]:
    """Success at the protocol's cut, and the area under the success curve, in per cent."""
    area = metrics.success_auc(scores, protocol.success_levels)
    return {
        f"{name}@{protocol.cut:g}": metric(resample(scores >= protocol.success_cut, videos), 100),
        "AUC": metric(resample(area, videos), 100),
    }


def _agreement(
    items: Items, categories: CategoryMap | None, resample: Callable[..., Interval]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """NMI, purity and the purity of each cluster, of all clips with a known label, boxed or not."""
    labels = clip_label(items.labels, items.sounding)
    known = (labels >= 0) & (items.cluster >= 0)
    if not known.any():
        return {}, []
    labels, clusters, videos = labels[known], items.cluster[known], items.video[known]
    found = {"NMI": metric(resample((labels, clusters), videos, _weighted_nmi, centred=True))}
    if categories is None:
        return found, []
    right = np.array(categories.of_cluster)[clusters] == labels
    found["purity"] = metric(resample(right, videos))
    size = len(categories.names), len(categories.of_cluster)
    return found, purity_report(cluster_counts(labels, clusters, *size), categories)


def _weighted_nmi(labels: np.ndarray, clusters: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.array(
        [nmi(np.repeat(labels, times), np.repeat(clusters, times)) for times in weights.astype(int)]
    )
