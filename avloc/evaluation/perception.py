"""What is heard in mixtures, from the sound alone: multi-label classification (IEr table 2).

The truth of an item is every category that sounds in it, in the picture or from off screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from avloc.evaluation.bootstrap import Interval, mean_of_known, ratio
from avloc.evaluation.items import Items
from avloc.evaluation.results import metric

METRICS = (
    "mAP",
    "all heard most",
    "precision",
    "recall",
    "macro precision",
    "macro recall",
    "quiet recall",
    "quiet recall at precision 0.8",
)
"""Names of all metrics that `perceive` may return, 0 to 1."""

_HEARD = 0.5
_QUIET_DB = (6.0, 12.0)
_SLACK_DB = 1e-4  # levels are stored in float32
_PRECISION = 0.8


def perceive(
    items: Items, names: Sequence[str], resample: Callable[..., Interval]
) -> tuple[dict[str, Any], list[str]]:
    """Scores `items.heard`, on every item whose sounds all have a known category, boxed or not.

    `mAP`: mean over categories of the average precision; categories that never sound are left out.
    `all heard most`: share of items in which the n categories that sound are exactly the n with the
    highest scores, a tie with another one not counting; items in which every category sounds are
    left out.
    `precision`, `recall`: of scores that reach 0.5, over all pairs of an item and a category
    (micro). `macro precision`, `macro recall`: means over the categories that sound somewhere; the
    precision of one that is never found counts 0. `quiet recall`: recall at 0.5 of the sources
    that lie 6 to 12 dB under the loudest source of their mixture, where levels are known. `quiet
    recall at precision 0.8`: the largest recall of those sources over all thresholds at which the
    micro precision over everything is 0.8 or more, so that two methods are compared at equal
    precision; 0 where there is no such threshold. Undefined metrics are left out, such as
    the precision if nothing is found.

    Args:
      items: as `collect` gives them for scenes.
      names: of the categories.
      resample: gives a value its interval over videos.

    Returns:
      Metrics, and for each item a description of what is heard in it.
    """
    told = [""] * len(items.index)
    if not items.heard.shape[1]:
        return {}, told
    truth, below = heard_truth(items, len(names))
    known = truth.any(1)
    if not known.any():
        return {}, told
    scores, truth, below, videos = (x[known] for x in (items.heard, truth, below, items.video))
    for place, row in zip(np.flatnonzero(known), range(len(scores)), strict=True):
        told[place] = _in_words(scores[row], truth[row], below[row], names)
    quiet = (below >= _QUIET_DB[0] - _SLACK_DB) & (below <= _QUIET_DB[1] + _SLACK_DB)
    found = scores >= _HEARD
    hits = truth & found
    counts = {
        "precision": (hits, found),
        "recall": (hits, truth),
        "macro precision": (hits, found, truth),
        "macro recall": (hits, truth, truth),
    }
    ranked = resample((scores, truth), videos, mean_average_precision)
    metrics = {"mAP": metric(ranked)}
    some = ~truth.all(1)
    if some.any():
        first = all_heard_most(scores[some], truth[some])
        metrics["all heard most"] = metric(resample(first, videos[some]))
    for name, arrays in counts.items():
        macro = name.startswith("macro")
        rate = resample(arrays, videos, _macro) if macro else micro(*arrays, videos, resample)
        metrics[name] = metric(rate)
    if quiet.any():
        metrics["quiet recall"] = metric(micro(quiet & found, quiet, videos, resample))
        # One entry per pair, most probable first, so that thresholds are indices.
        order = np.argsort(-scores, axis=None, kind="stable")
        pairs = tuple(x.ravel()[order] for x in (scores, truth, quiet))
        of_pair = np.repeat(videos, scores.shape[1])[order]
        metrics["quiet recall at precision 0.8"] = metric(
            resample(pairs, of_pair, partial(recall_at_precision, precision=_PRECISION))
        )
    return {name: row for name, row in metrics.items() if not np.isnan(row["value"])}, told


def heard_truth(items: Items, n: int) -> tuple[Bool[np.ndarray, "S N"], Float[np.ndarray, "S N"]]:
    """Which categories sound, and by how many dB each is under the loudest of its mixture.

    An item with a sound of unknown category has none; if a level is not known, or a category is
    silent, the second is nan. The powers of sounds of one category are added.
    """
    sounds = items.sounding | items.offscreen
    complete = (~sounds | (items.labels >= 0)).all(1, keepdims=True)
    of_category = (sounds & complete)[..., None] & (items.labels[..., None] == np.arange(n))
    truth = of_category.any(1)
    levels_known = (~sounds | (items.level_db != 0)).all(1)
    power = 10 ** (np.asarray(items.level_db, np.float64) / 10)
    power = np.where(of_category, power[..., None], 0.0).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = 10 * np.log10(power.max(1, keepdims=True) / power)
    return truth, np.where(truth & levels_known[:, None], below, np.nan)


def mean_average_precision(
    scores: Float[np.ndarray, "S N"], truth: Bool[np.ndarray, "S N"], weights: np.ndarray
) -> np.ndarray:
    """Mean of `average_precision` over the categories that sound; weights `[..., S]`."""
    values = np.stack(
        [average_precision(scores[:, n], truth[:, n], weights) for n in range(scores.shape[1])], -1
    )
    return mean_of_known(values)


def all_heard_most(
    scores: Float[np.ndarray, "S N"], truth: Bool[np.ndarray, "S N"]
) -> Bool[np.ndarray, " S"]:
    """Whether every category that sounds scores higher than every other one; needs both."""
    lowest = np.where(truth, scores, np.inf).min(1)
    return lowest > np.where(truth, -np.inf, scores).max(1)


def average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`sum_t (R_t - R_t-1) P_t` over the thresholds from high to low; equal scores are one step.

    Args:
      scores: `[n]`.
      positive: `[n]` bool.
      weights: `[..., n]` how often each one counts.

    Returns:
      `[...]` in 0..1, nan where no positive has weight.
    """
    order = np.argsort(-scores, kind="stable")
    hits, found = _running(scores[order], positive[order], weights=weights[..., order])
    gained = np.diff(hits, axis=-1, prepend=0)
    return ratio((gained * hits / np.maximum(found, 1e-12)).sum(-1), hits[..., -1])


def recall_at_precision(
    scores: np.ndarray,
    positive: np.ndarray,
    wanted: np.ndarray,
    weights: np.ndarray,
    precision: float,
) -> np.ndarray:
    """Largest recall of some positives over the thresholds that keep the precision of all.

    Args:
      scores: `[n]`, falling.
      positive: `[n]` bool; precision counts these.
      wanted: `[n]` bool; recall counts these.
      weights: `[..., n]` how often each one counts.
      precision: the least.

    Returns:
      `[...]`: 0 where no threshold is precise enough, nan where nothing wanted has weight.
    """
    hits, wanted_hits, found = _running(scores, positive, wanted, weights=weights)
    allowed = hits / np.maximum(found, 1e-12) >= precision
    best = np.where(allowed, wanted_hits, 0.0).max(-1)
    return ratio(best, wanted_hits[..., -1])


def _running(scores: np.ndarray, *marks: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Weight of each mark, and of all, down to each threshold; scores fall."""
    ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    every = np.ones(len(scores), bool)
    return [np.cumsum(weights * mark, -1)[..., ends] for mark in (*marks, every)]


def micro(
    part: Bool[np.ndarray, "S N"],
    whole: Bool[np.ndarray, "S N"],
    videos: Int[np.ndarray, " S"],
    resample: Callable[..., Interval],
) -> Interval:
    """The share of some pairs of item and category that a part of them has; nan of none."""
    if not whole.any():
        return Interval(np.nan, np.nan, np.nan)
    return resample(part[whole], np.broadcast_to(videos[:, None], whole.shape)[whole])


def _macro(
    part: np.ndarray, whole: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    parts, wholes, there = (weights @ x.astype(np.float64) for x in (part, whole, truth))
    return mean_of_known(np.where(there > 0, parts / np.maximum(wholes, 1e-12), np.nan))


def _in_words(
    scores: np.ndarray, truth: np.ndarray, below: np.ndarray, names: Sequence[str]
) -> str:
    """Categories that sound, with levels under the loudest where known, and those misheard."""
    told = []
    for n in np.flatnonzero(truth | (scores >= _HEARD)):
        level = "" if np.isnan(below[n]) else f" at {0 - below[n]:.1f} dB"
        told.append(f"{names[n]} {'sounds' if truth[n] else 'silent'}{level} {scores[n]:.4f}")
    return "; ".join(told)
