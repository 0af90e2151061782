"""One metric of one cell, pooled over its seeds."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from avloc.evaluation import protocols
from avloc.evaluation.bootstrap import interval
from avloc.evaluation.metrics import success_auc
from avloc.evaluation.protocols import Protocol

Items = Sequence[Mapping[str, str]]
"""The rows of an `items.csv`."""


@dataclass(frozen=True)
class Pooled:
    """A metric over seeds.

    Attributes:
      mean: over seeds.
      spread: standard deviation over seeds (ddof 1); nan of one seed.
      low: of the 95 % interval.
      high: of the same.
      interval: its origin. `videos`: each item's score is averaged over seeds, and the interval
        is over videos. `seeds`: the mean of each seed's own bounds, for metrics that are not a mean
        of items; wider, because it ignores the averaging over seeds. Empty: there is none.
      seeds: value of each seed.
    """

    mean: float
    spread: float
    low: float
    high: float
    interval: str
    seeds: Mapping[int, float]


def pool(
    metric: str,
    found: Mapping[int, Mapping[str, float | None]],
    items: Mapping[int, Items],
    protocol: Protocol | None,
) -> Pooled:
    """Pools a metric.

    Args:
      metric: its name.
      found: by seed its `value`, `low` and `high`, as `metrics.json` has them; at least one.
      items: by seed the items behind it.
      protocol: its rules; None if they are no longer known.
    """
    values = {seed: _number(entry["value"]) for seed, entry in found.items()}
    mean, spread = mean_and_spread(list(values.values()))
    low, high, source = math.nan, math.nan, ""
    scores = [item_scores(metric, items[seed], protocol) for seed in found if protocol]
    if scores and all(part is not None for part in scores) and _alike(items, found):
        videos = np.array([int(row["video"]) for row in items[next(iter(found))]])
        score = np.mean(scores, axis=0)
        kept = ~np.isnan(score)
        if kept.any() and math.isclose(score[kept].mean(), mean, rel_tol=1e-6, abs_tol=1e-6):
            lowest = item_lowest(metric, protocol)
            _, low, high = interval(score[kept], videos[kept], bounds=(lowest, 100.0))
            source = "videos"
    if not source:
        bounds = [[_number(entry[side]) for side in ("low", "high")] for entry in found.values()]
        low, high = (float(x) for x in np.mean(bounds, axis=0))
        source = "" if math.isnan(low) else "seeds"
    return Pooled(mean, spread, low, high, source, values)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 1), which is nan of one value."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return float(np.mean(values)), spread


def item_scores(metric: str, items: Items, protocol: Protocol) -> Float[np.ndarray, " S"] | None:
    """The contribution of each item to a metric that is a mean of items, in per cent.

    nan if an item is not scored; None if the metric is not a mean over the items.
    """
    column = {"single": "iou", "multiple": "ciou"}[protocol.task]
    if metric == "NSA":
        column = "nsa"
    if not items or column not in items[0]:
        return None
    scores = np.array([float(row[column] or "nan") for row in items])
    scored = ~np.isnan(scores)
    if metric == "NSA":
        found = scores
    elif metric == "AUC":
        found = success_auc(scores, protocol.success_levels)
    elif metric.split("@")[0] in ("IoU", "CIoU"):
        found = (scores >= protocol.success_cut).astype(float)
    else:
        return None
    return np.where(scored, 100 * found, np.nan)


def item_lowest(metric: str, protocol: Protocol) -> float:
    """The least that an item can contribute to a metric of `item_scores`, in per cent."""
    if metric != "AUC":
        return 0.0
    return 100 * float(success_auc(np.zeros(1), protocol.success_levels)[0])


def read_items(file: Path) -> Items:
    """The rows of an `items.csv`; empty if there is no such file."""
    if not file.is_file():
        return ()
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def same_protocol(name: str, version: int) -> Protocol | None:
    """The protocol of that version; None if it no longer exists."""
    there = protocols.PROTOCOLS.get(name)
    return there if there is not None and there.version == version else None


def _alike(items: Mapping[int, Items], seeds: Mapping[int, object]) -> bool:
    """Whether all seeds were scored on the same items."""
    listed = [[(row["index"], row["video"]) for row in items[seed]] for seed in seeds]
    return all(rows == listed[0] for rows in listed)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
