"""Intervals by bootstrap over groups: items of one video are not independent."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Number of weights in memory at once: 32 MiB of float64.
_BUDGET = 4_000_000


class Interval(NamedTuple):
    """A value and its interval; `low` and `high` are nan if nothing could be resampled."""

    value: float
    low: float
    high: float


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean: values `[n]`, weights `[..., n]`, result `[...]`."""
    return weights @ np.asarray(values, np.float64) / weights.sum(-1)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A part divided by a whole; nan if the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1e-12), np.nan)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, ignoring nan; nan if nothing is left."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(-1), known.sum(-1))


def interval(
    values: np.ndarray | tuple[np.ndarray, ...],
    groups: np.ndarray,
    statistic: Callable[..., np.ndarray] = mean,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    centred: bool = False,
) -> Interval:
    """Percentile bootstrap of a statistic, resampling whole groups with replacement.

    A draw is passed to the statistic as weights: how often each item's group was drawn. So one call
    serves many draws, and no item is copied.

    Args:
      values: `[n]`, or several such arrays.
      groups: `[n]` the group (video) of each item.
      statistic: called as `statistic(*values, weights=[d, n])`, gives `[d]`; nan if it is
        undefined for a draw, which is then left out.
      level: coverage.
      draws: resamples.
      seed: of the resampling.
      centred: move the interval by the draws' bias, their mean less the value, and keep it in 0 to
        1 with the value inside. For a share that resampling biases: NMI grows when groups are
        drawn twice, a mean over categories when a draw loses rare ones, which are hard.

    Returns:
      The statistic of the items themselves, and its interval: nan if there is only one group.

    Raises:
      ValueError: there are no items, or the lengths differ.
    """
    arrays = values if isinstance(values, tuple) else (values,)
    groups = np.asarray(groups)
    if len(groups) == 0 or any(len(array) != len(groups) for array in arrays):
        lengths = [len(array) for array in arrays]
        raise ValueError(f"a bootstrap needs a group for each item: {lengths}, {len(groups)}")
    value = float(statistic(*arrays, weights=np.ones((1, len(groups))))[0])
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) == 1:
        return Interval(value, float("nan"), float("nan"))
    # Drawing G of G groups with replacement gives multinomial counts.
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    step = max(1, _BUDGET // len(groups))
    drawn = np.concatenate(
        [
            statistic(*arrays, weights=counts[at : at + step, group_of].astype(np.float64))
            for at in range(0, draws, step)
        ]
    )
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value, float("nan"), float("nan"))
    if centred:
        drawn = drawn - (drawn.mean() - value)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    if centred:
        low, high = min(max(low, 0), value), max(min(high, 1), value)
    return Interval(value, float(low), float(high))
