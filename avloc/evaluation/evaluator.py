"""Scores a predictor on a set of items under a protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from avloc.clustering import CategoryMap
from avloc.evaluation import metrics
from avloc.evaluation.bootstrap import Interval, interval
from avloc.evaluation.clusters import agreement
from avloc.evaluation.items import (
    Items,
    chunks,
    clip_label,
    collect,
    placed,
    reasons_not_scored,
)
from avloc.evaluation.perception import perceive
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
    and purity of clusters where labels are known (`agreement`). Task `multiple`: CIoU@t, AUC and
    NSA of the category maps, and the AUROC by which the mean activation of a category's map inside
    an object's box tells sounding objects from silent ones; what is heard (`perceive`).

    A sound from off screen is no ground truth of a map: for the maps its category is silent. Where
    there are such sounds, `off-screen false alarms` is the share, in per cent, of pairs of a scene
    and a category heard only from off screen whose map lights up: some pixel of the resized map
    reaches the protocol's silent tau. `off-screen AUROC` needs no threshold: how often, in those
    scenes, the peak of the map of a category that sounds in the picture lies above the peak of
    one that sounds off screen.

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
        agreed, clusters = agreement(items, categories, resample)
        found |= agreed
    else:
        found, rows = _multiple(items, scored, protocol, names, resample)
        perceived, told = perceive(items, names, resample)
        found |= perceived
        rows = [row | {"heard": text} for row, text in zip(rows, told, strict=True)]
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
    rows = [dict.fromkeys(("ciou", "nsa", "sounding", "objects", "offscreen"), "") for _ in scored]
    if not scored.any():
        return {}, rows
    kept = Items(*(field[scored] for field in items))
    measured = _measure(kept, protocol)
    sounds = measured.truth > 0
    ious = metrics.iou(measured.overlap, measured.truth, measured.outside)
    scene = metrics.class_aware_iou(ious, sounds)
    quiet = metrics.no_sounding_area(measured.quiet, sounds)
    offscreen = _offscreen(kept, sounds)
    known = placed(kept.boxes, protocol) & (kept.labels >= 0) & ~kept.offscreen
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
            "offscreen": "; ".join(
                f"{names[c]} {'lit' if measured.lit[i, c] else 'dark'} {measured.peak[i, c]:.4f}"
                for c in np.flatnonzero(offscreen[i])
            ),
        }
    found = _success(scene, "CIoU", kept.video, protocol, resample)
    some = ~np.isnan(quiet)
    if some.any():
        found["NSA"] = metric(resample(quiet[some], kept.video[some]), 100)
    sounding = kept.sounding[known]
    if sounding.any() and not sounding.all():
        videos = np.broadcast_to(kept.video[:, None], known.shape)[known]
        objects = (measured.mass[known], sounding)
        found["AUROC"] = metric(resample(objects, videos, metrics.auroc))
    return found | _false_alarms(measured, sounds, offscreen, kept.video, resample), rows


def _offscreen(items: Items, sounds: np.ndarray) -> np.ndarray:
    """`[S, N]` whether a category sounds from off screen, and not in the picture as well."""
    categories = np.arange(sounds.shape[1])
    heard = (items.offscreen[..., None] & (items.labels[..., None] == categories)).any(1)
    return heard & ~sounds


def _false_alarms(
    measured: metrics.Measures,
    sounds: np.ndarray,
    offscreen: np.ndarray,
    videos: np.ndarray,
    resample: Callable[..., Interval],
) -> dict[str, Any]:
    """What the maps make of sounds from off screen; nothing where there are none."""
    if not offscreen.any():
        return {}
    videos = np.broadcast_to(videos[:, None], offscreen.shape)
    told = (sounds | offscreen) & offscreen.any(1, keepdims=True)
    peaks = (measured.peak[told], sounds[told])
    return {
        "off-screen false alarms": metric(
            resample(measured.lit[offscreen], videos[offscreen]), 100
        ),
        "off-screen AUROC": metric(resample(peaks, videos[told], metrics.auroc)),
    }


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
