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
from avloc.evaluation.clusters import agreement, unagreed
from avloc.evaluation.detection import detection, sounding_and_all
from avloc.evaluation.items import Items, clip_label, placed
from avloc.evaluation.measuring import Measured, measure_all
from avloc.evaluation.named import naming, unnamed
from avloc.evaluation.perception import perceive, unheard
from avloc.evaluation.protocols import Protocol
from avloc.evaluation.results import Evaluation, metric
from avloc.evaluation.success import scene_success, success
from avloc.types import Batch, Prediction


def evaluate(
    predict: Callable[[Batch], Prediction],
    batches: Iterable[Batch],
    protocol: Protocol,
    categories: CategoryMap | None = None,
    names: Sequence[str] = (),
    *,
    named_from: float | None = None,
    named_by: str = "",
    draws: int = 200,
    seed: int = 0,
) -> Evaluation:
    """Scores predictions against boxes and labels.

    Task `single`: IoU@t and AUC of `localization` against the union of the sounding boxes; AP50 of
    the boxes made of it, unless boxes are votes; NMI and purity of clusters where labels are known
    (`agreement`). Task `multiple`: CIoU@t and AUC (or of sources, or by level: `scene_success`) and
    NSA of the category maps, and the AUROC by which the mean activation of a category's map inside
    an object's box tells sounding objects from silent ones; what is heard (`perceive`) and
    named (`naming`); the boxes made of the maps (`sounding_and_all`).

    Maps are measured batch by batch and not kept (`measuring`).

    A sound from off screen is not ground truth for a map: for the maps, its category is silent. If
    there are such sounds, `off-screen false alarms` is the share, in per cent, of pairs of a scene
    and a category heard only from off screen whose map lights up: some pixel of the resized map
    reaches the protocol's silent tau. `off-screen AUROC` needs no threshold: how often, in those
    scenes, the peak of the map of a category that sounds in the picture lies above the peak of
    one that sounds off screen.

    Args:
      predict: of one batch, at evaluation statistics; jitted by the caller.
      batches: the set; padding is left out.
      protocol: see `protocols`.
      categories: category of each cluster, fitted on training clips (`fit_categories`). Without
        it, `maps` must have one map per category, or one (class-agnostic) map for all of them.
      names: of the categories; empty where the set has none.
      named_from: the score from which on a category of a scene is named, as `localize` does; None:
        names are not scored.
      named_by: how it was found, for readers.
      draws: most videos that are left out in turn for an interval (`interval`).
      seed: of the intervals.

    Raises:
      ValueError: there are no items; labels beyond `names`; maps that fit no category.
    """
    measured = measure_all(predict, batches, protocol, categories, len(names))
    resample = partial(interval, draws=draws, seed=seed)
    clusters = []
    if protocol.task == "single":
        found, rows = _single(measured, protocol, resample)
        agreed, clusters = agreement(measured.items, categories, resample)
        found |= agreed
        why = unagreed(measured.items, categories)
    else:
        found, rows, detected = _multiple(measured, protocol, names, resample)
        found |= detected
        why = _unplaced(measured, protocol)
        if protocol.truth == "sounding":  # else nothing says what is heard
            perceived, told = perceive(measured.items, names, resample)
            found |= perceived
            why |= unheard(measured.items, len(names))
            rows = [row | {"heard": text} for row, text in zip(rows, told, strict=True)]
        if named_from is not None and protocol.truth == "sounding":
            named, told = naming(measured.items, names, named_from, resample)
            found |= named
            why |= unnamed(measured.items, len(names))
            rows = [row | {"named": text} for row, text in zip(rows, told, strict=True)]
    items, reasons = measured.items, measured.reasons
    return Evaluation(
        protocol=protocol,
        metrics=found,
        evaluated=int((reasons == "").sum()),
        total=len(reasons),
        reasons=dict(Counter(reasons[reasons != ""].tolist())),
        items=[
            {"index": int(i), "video": int(v), "not_scored": str(why), **row}
            for i, v, why, row in zip(items.index, items.video, reasons, rows, strict=True)
        ],
        clusters=clusters,
        named_from=named_from if protocol.task == "multiple" else None,
        named_by=named_by if protocol.task == "multiple" else "",
        undefined={name: reason for name, reason in why.items() if name not in found},
    )


def _single(
    measured: Measured, protocol: Protocol, resample: Callable[..., Interval]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    items, kept, counts = measured.items, measured.scored, measured.counts
    labels = clip_label(items.labels, items.sounding)
    rows = [
        {"iou": "", "label": int(label), "cluster": int(cluster), "heard_cluster": int(heard)}
        for label, cluster, heard in zip(labels, items.cluster, items.heard_cluster, strict=True)
    ]
    if counts is None:
        return {}, rows
    ious = metrics.iou(counts.overlap, counts.truth, counts.outside)[:, 0]
    for place, value in zip(np.flatnonzero(measured.reasons == ""), ious, strict=True):
        rows[place]["iou"] = float(value)
    name = "cIoU" if protocol.iou == "consensus" else "IoU"
    found = success(ious, name, kept.video, protocol, resample)
    if protocol.iou == "plain":
        alike = np.zeros_like(kept.labels)
        found["AP50"] = detection(measured.detections, kept, alike, kept.sounding, 0.5, resample)
    return found, rows


def _multiple(
    measured: Measured,
    protocol: Protocol,
    names: Sequence[str],
    resample: Callable[..., Interval],
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Metrics, one row per item, and the metrics to list after those of what is heard."""
    columns = ["ciou", "nsa", "sounding", "objects", "offscreen"]
    columns += ["sources"] * (protocol.unit == "source") + ["level"] * bool(protocol.level_cuts)
    rows = [dict.fromkeys(columns, "") for _ in measured.reasons]
    kept, counts = measured.scored, measured.counts
    if counts is None:
        return {}, rows, {}
    sounds = counts.truth > 0
    ious = metrics.iou(counts.overlap, counts.truth, counts.outside)
    scene = metrics.class_aware_iou(ious, sounds)
    quiet = metrics.no_sounding_area(counts.quiet, sounds)
    if protocol.silent is None:
        quiet = np.full(len(quiet), np.nan)
    offscreen = _offscreen(kept, sounds)
    known = placed(kept.boxes, protocol) & (kept.labels >= 0) & ~kept.offscreen
    for place, i in zip(np.flatnonzero(measured.reasons == ""), range(len(scene)), strict=True):
        told = {
            "ciou": float(scene[i]),
            "nsa": "" if np.isnan(quiet[i]) else float(quiet[i]),
            "sounding": "+".join(names[c] for c in np.flatnonzero(sounds[i])),
            "objects": "; ".join(
                f"{names[kept.labels[i, m]]} {'sounds' if kept.sounding[i, m] else 'silent'} "
                f"{measured.mass[i, m]:.4f}"
                for m in np.flatnonzero(known[i])
            ),
            "offscreen": "; ".join(
                f"{names[c]} {_lit(counts.lit[i, c], protocol)}{counts.peak[i, c]:.4f}"
                for c in np.flatnonzero(offscreen[i])
            ),
            "sources": "; ".join(f"{names[c]} {ious[i, c]:.4f}" for c in np.flatnonzero(sounds[i])),
            "level": int(sounds[i].sum()),
        }
        rows[place] = {column: told[column] for column in columns}
    found = scene_success(ious, sounds, kept.video, protocol, resample)
    some = ~np.isnan(quiet)
    if some.any():
        found["NSA"] = metric(resample(quiet[some], kept.video[some]), 100)
    sounding = kept.sounding[known]
    if sounding.any() and not sounding.all():
        videos = np.broadcast_to(kept.video[:, None], known.shape)[known]
        objects = (measured.mass[known], sounding)
        found["AUROC"] = metric(resample(objects, videos, metrics.auroc))
    found |= _false_alarms(counts, sounds, offscreen, kept.video, protocol, resample)
    return found, rows, sounding_and_all(measured.detections, kept, known, resample)


def _unplaced(measured: Measured, protocol: Protocol) -> dict[str, str]:
    """Why each metric of scenes' maps that was left out has no value."""
    if measured.counts is None:  # `Evaluation.reasons` says why
        return {}
    no_silence, in_picture = "no silent object is annotated", "nothing sounds off screen"
    why = {"AUROC": no_silence, "off-screen AUROC": in_picture}
    if protocol.silent is not None:
        why["NSA"] = "every category sounds in every scene"
        why["off-screen false alarms"] = in_picture
    if measured.detections is None:
        return why | dict.fromkeys(("sounding mAP30", "mAP50"), "categories are not told apart")
    return why | {"mAP50": no_silence}


def _lit(lit: bool, protocol: Protocol) -> str:
    return ("lit " if lit else "dark ") if protocol.silent else ""


def _offscreen(items: Items, sounds: np.ndarray) -> np.ndarray:
    """`[S, N]` whether a category sounds from off screen, and not in the picture as well."""
    categories = np.arange(sounds.shape[1])
    heard = (items.offscreen[..., None] & (items.labels[..., None] == categories)).any(1)
    return heard & ~sounds


def _false_alarms(
    counts: metrics.Measures,
    sounds: np.ndarray,
    offscreen: np.ndarray,
    videos: np.ndarray,
    protocol: Protocol,
    resample: Callable[..., Interval],
) -> dict[str, Any]:
    """Metrics of how maps react to sounds from off screen; empty if there are none."""
    if not offscreen.any():
        return {}
    videos = np.broadcast_to(videos[:, None], offscreen.shape)
    told = (sounds | offscreen) & offscreen.any(1, keepdims=True)
    peaks = (counts.peak[told], sounds[told])
    found = {}
    if protocol.silent:
        alarms = resample(counts.lit[offscreen], videos[offscreen])
        found["off-screen false alarms"] = metric(alarms, 100)
    return found | {"off-screen AUROC": metric(resample(peaks, videos[told], metrics.auroc))}
