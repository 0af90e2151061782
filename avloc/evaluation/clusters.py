"""Clusters against categories: the name of each cluster, and how well they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from avloc.clustering import (
    CategoryMap,
    cluster_counts,
    cluster_frequencies,
    match,
    purity_report,
)
from avloc.clustering.agreement import nmi_of, nmi_of_table
from avloc.clustering.assignment import majority
from avloc.evaluation.bootstrap import Chance, Interval
from avloc.evaluation.items import Items, clip_label
from avloc.evaluation.results import metric
from avloc.types import Batch, Prediction


def fit_categories(
    predict: Callable[[Batch], Prediction],
    batches: Iterable[Batch],
    names: Sequence[str],
    naming: Literal["assignment", "majority"] = "assignment",
    assigned: Int[np.ndarray, " S"] | None = None,
) -> CategoryMap | None:
    """The category that each cluster stands for, from labelled clips; see `Protocol.naming`.

    Uses clips whose sounding objects have one known label. None if the set has no categories or
    the method no classes (K == 1).

    Args:
      predict: of one batch.
      batches: of labelled clips.
      names: of the categories.
      naming: see `Protocol.naming`.
      assigned: the cluster of each item by its index, as stage one left it (CSOL 3.2, where the
        clusters are made; later features may put a clip elsewhere); None: the predicted one.

    Raises:
      ValueError: fewer clusters than categories, no clips, or none with a known label.
    """
    if not names:
        return None
    labels, clusters, k = [], [], 0
    for batch in batches:
        if assigned is None or not k:
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
        of_items = prediction.cluster if assigned is None else assigned[np.asarray(batch.index)]
        clusters.append(np.asarray(of_items)[mask])
    if not labels:
        raise ValueError("there are no clips to name clusters by: the split has no items")
    labels, clusters = np.concatenate(labels), np.concatenate(clusters)
    if not ((labels >= 0) & (clusters >= 0)).any():
        raise ValueError(
            f"none of {len(labels)} clips has a known label, so clusters cannot be named: "
            "give clips with labels or leave the class names out"
        )
    if naming == "majority":
        of_cluster = majority(cluster_counts(labels, clusters, len(names), k))
    else:
        of_cluster = match(cluster_frequencies(labels, clusters, len(names), k))
    return CategoryMap(tuple(int(c) for c in of_cluster), tuple(names))


def agreement(
    items: Items, categories: CategoryMap | None, resample: Callable[..., Interval]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """NMI, purity and the purity of each cluster, on all clips with a known label, boxed or not.

    `NMI` (normalised mutual information) and `purity` use `cluster`, the source that a clip
    belongs to; `audio NMI` uses the source that is most probably heard in it. Where all clips are
    of one category, every method would get 1: then none is scored (`unagreed`).
    """
    labels = clip_label(items.labels, items.sounding | items.offscreen)
    found: dict[str, Any] = {}
    purities: list[dict[str, Any]] = []
    known = (labels >= 0) & (items.cluster >= 0)
    missing = unagreed(items, categories)
    if known.any():
        sides = labels[known], items.cluster[known]
        if "NMI" not in missing:
            found["NMI"] = _nmi(*sides, items.video[known], resample)
        if categories is not None and "purity" not in missing:
            right = np.array(categories.of_cluster)[sides[1]] == sides[0]
            found["purity"] = metric(resample(right, items.video[known]))
            size = len(categories.names), len(categories.of_cluster)
            purities = purity_report(cluster_counts(*sides, *size), categories)
    known = (labels >= 0) & (items.heard_cluster >= 0)
    if known.any() and "audio NMI" not in missing:
        sides = labels[known], items.heard_cluster[known]
        found["audio NMI"] = _nmi(*sides, items.video[known], resample)
    return found, purities


def unagreed(items: Items, categories: CategoryMap | None) -> dict[str, str]:
    """Why the agreement of clusters with categories is not scored; empty without clusters."""
    labels = clip_label(items.labels, items.sounding | items.offscreen)
    sides = {"NMI": items.cluster, "audio NMI": items.heard_cluster}
    if categories is not None:
        sides["purity"] = items.cluster
    why = {}
    for name, clusters in sides.items():
        known = labels[(labels >= 0) & (clusters >= 0)]
        if (clusters < 0).all():
            continue
        if not len(known):
            why[name] = "no clip is of a known category"
        elif len(categories.names) == 1 if name == "purity" else _alone(known):
            why[name] = "one category"
    return why


def _alone(labels: np.ndarray) -> bool:
    return len(np.unique(labels)) == 1


def _nmi(
    labels: np.ndarray,
    clusters: np.ndarray,
    videos: np.ndarray,
    resample: Callable[..., Interval],
) -> dict[str, float]:
    return metric(resample((labels, clusters), videos, weighted_nmi, chance=nmi_by_chance))


def weighted_nmi(
    labels: Int[np.ndarray, " S"], clusters: Int[np.ndarray, " S"], weights: np.ndarray
) -> np.ndarray:
    """`nmi`, each sample counting as often as its weight `[..., S]` says: `[...]`.

    nan where all that counts is of one label and one cluster, unless nothing else is there.
    """
    size = clusters.max() + 1
    cells, where = np.unique(labels * size + clusters, return_inverse=True)
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(cells)))
    joint = np.add.reduceat(weights[..., order], starts, axis=-1)
    sides = (np.unique(part, return_inverse=True)[1] for part in divmod(cells, size))
    label, cluster = (joint @ np.eye(side.max() + 1)[side] for side in sides)
    return nmi_of(joint, label, cluster, 1.0 if len(cells) == 1 else np.nan)


def nmi_by_chance(
    labels: Int[np.ndarray, " S"],
    clusters: Int[np.ndarray, " S"],
    groups: Int[np.ndarray, " S"],
    draws: int,
    rng: np.random.Generator,
) -> Chance:
    """The NMI where the clusters of each video are those of another one, drawn at random.

    The fewer videos, the higher: of 6 videos of 11 kinds, 0.6 to 0.8.
    """
    size = groups.max() + 1
    label, cluster = (np.zeros((size, side.max() + 1)) for side in (labels, clusters))
    np.add.at(label, (groups, labels), 1)
    np.add.at(cluster, (groups, clusters), 1)
    cluster /= cluster.sum(-1, keepdims=True)
    joint = np.zeros((label.shape[1], cluster.shape[1]))
    np.add.at(joint, (labels, clusters), 1)
    drawn = [label.T @ cluster[rng.permutation(size)] for _ in range(draws)]
    pairs = rng.permutation(size)[:draws]
    more = label[pairs, :, None] * cluster[rng.permutation(size)[:draws], None, :]
    moved = nmi_of_table(joint + more, np.nan) - nmi_of_table(joint, np.nan)
    return Chance(float(nmi_of_table(np.stack(drawn), np.nan).mean()), float(np.mean(moved**2)))
