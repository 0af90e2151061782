"""Intervals over groups: items of one video are not independent, and test sets have few videos.

A percentile bootstrap over 6 videos covers a rate of 0.03 half of the time, where it promises 95 %:
it cannot draw what no video shows. These intervals take the spread between videos and the t
quantile of their number, are Wilson's in form, so that they end inside the bounds of a score, and
allow for what few videos may hide. docs/what_scores_mean.md has their coverage;
`scripts/coverage.py` simulates it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student

# Number of weights in memory at once: 32 MiB of float64.
_BUDGET = 4_000_000

_CHANCE = 0.9
"""Chance level from which on a value says nothing."""


class Interval(NamedTuple):
    """A value and its interval; `low` and `high` are nan if there are too few videos for one."""

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


class Chance(NamedTuple):
    """What a statistic would be if its sides had nothing to do with each other.

    Attributes:
      level: its mean then, over random pairings of videos.
      moved: mean square by which one more video, paired at random, moves the value.
    """

    level: float
    moved: float


def interval(
    values: np.ndarray | tuple[np.ndarray, ...],
    groups: np.ndarray,
    statistic: Callable[..., np.ndarray] = mean,
    *,
    level: float = 0.95,
    draws: int = 200,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
    chance: Callable[..., Chance] | None = None,
) -> Interval:
    """A statistic of items and an interval for it, where whole groups are drawn from a population.

    Means and rates: Wilson's score interval with the design effect of the groups (Korn and
    Graubard 1998, Dean and Pagano 2015), see `_spread_of_mean`. Everything else: the jackknife over
    groups, see `_jackknife`.

    Args:
      values: `[n]`, or several such arrays.
      groups: `[n]` the group (video) of each item.
      statistic: called as `statistic(*values, weights=[d, n])`, gives `[d]` in 0 to 1, nan where it
        is undefined; the weights say how often each item counts.
      level: coverage.
      draws: most groups that are left out in turn; of more, random parts are, as many as this.
      seed: of those parts, and of chance.
      bounds: the least and the largest value that a mean can have.
      chance: for a statistic that is above 0 by chance, and the more so the fewer groups there are:
        called as `chance(*values, groups=[n], draws, rng)`. Its level is taken off.

    Returns:
      The statistic of the items themselves, and its interval: nan if there are too few groups.

    Raises:
      ValueError: there are no items, the lengths differ, or a mean's values are out of bounds.
    """
    arrays = values if isinstance(values, tuple) else (values,)
    groups = np.asarray(groups)
    if len(groups) == 0 or any(len(array) != len(groups) for array in arrays):
        lengths = [len(array) for array in arrays]
        raise ValueError(f"an interval needs a group for each item: {lengths}, {len(groups)}")
    value = float(statistic(*arrays, weights=np.ones((1, len(groups))))[0])
    names, of_group = np.unique(groups, return_inverse=True)
    if len(names) == 1 or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    if statistic is mean:
        return _of_mean(np.asarray(arrays[0], np.float64), value, of_group, level, bounds)
    rng = np.random.default_rng(seed)
    parts = of_group
    if len(names) > draws:
        parts = (rng.permutation(len(names)) % draws)[of_group]
    known = _left_out(arrays, parts, statistic)
    if len(known) < max(2, (parts.max() + 1) / 2):
        return Interval(value, float("nan"), float("nan"))
    by_chance = chance(*arrays, groups=of_group, draws=draws, rng=rng) if chance else None
    if by_chance is not None and not by_chance.level < _CHANCE:
        return Interval(value, float("nan"), float("nan"))
    return Interval(value, *_jackknife(value, known, level, by_chance))


def _of_mean(
    values: Float[np.ndarray, " n"],
    value: float,
    of_group: Int[np.ndarray, " n"],
    level: float,
    bounds: tuple[float, float],
) -> Interval:
    least, most = bounds
    shares = (values - least) / (most - least)
    if shares.min() < -1e-6 or shares.max() > 1 + 1e-6:
        raise ValueError(
            f"values from {values.min():g} to {values.max():g} are not within the bounds {bounds}"
        )
    groups = of_group.max() + 1
    low, high = _score(
        shares.mean(), _spread_of_mean(shares, of_group), student.ppf((1 + level) / 2, groups - 1)
    )
    low, high = (least + (most - least) * x for x in (low, high))
    return Interval(value, min(low, value), max(high, value))


def _spread_of_mean(shares: Float[np.ndarray, " n"], of_group: Int[np.ndarray, " n"]) -> float:
    """Variance of the mean of shares of 0 to 1, divided by that of one item that is 0 or 1.

    The variance between groups, by leaving each one out, is drawn towards what it would be if the
    items of a group were all alike, by `1 / (1 + k)`: k groups show the rarer outcome, and from
    few of them nobody knows how alike the items of such a group are. With k = 0 they count as
    alike. (Spreads taken from the data alone are too small, all the more for rare outcomes: Franco
    et al. 2019.)
    """
    size = np.bincount(of_group)
    total = np.bincount(of_group, shares)
    share, groups, p = size / size.sum(), len(size), shares.mean()
    off = (total - p * size) / size.sum() / (1 - share)
    between = (off**2).sum() * (groups - 1) / groups
    alike = min((share**2).sum() * groups / (groups - 1), 1)
    rarer = min((total > 1e-9).sum(), (total < size - 1e-9).sum())
    drawn = (alike * np.square(shares - p).mean() - between) / (1 + rarer)
    of_item = p * (1 - p)
    return (between + max(drawn, 0)) / of_item if rarer and of_item > 0 else alike


def _left_out(
    arrays: tuple[np.ndarray, ...], parts: Int[np.ndarray, " n"], statistic: Callable
) -> Float[np.ndarray, " known"]:
    """The statistic without each part in turn, where it is defined."""
    count, step = parts.max() + 1, max(1, _BUDGET // len(parts))
    found = [
        statistic(*arrays, weights=(parts != np.arange(at, min(at + step, count))[:, None]) * 1.0)
        for at in range(0, count, step)
    ]
    found = np.concatenate(found)
    return found[~np.isnan(found)]


def _jackknife(
    value: float, left_out: Float[np.ndarray, " g"], level: float, chance: Chance | None
) -> tuple[float, float]:
    """The interval of a statistic from its values without each group.

    The centre is free of bias: of the jackknife's or, given a chance level c, `(value - c) /
    (1 - c)`, as in adjusted mutual information (Vinh et al. 2010). The interval always holds the
    value too, and without c that of the value itself. k groups carry the spread, `(sum d^2)^2 /
    sum d^4` of their deviations d: the quantile is that of 3 k degrees of freedom, which of normal
    deviations are all of them, and the spread is drawn towards that of one all-or-nothing item a
    group by `1 / (1 + k)^2`.
    """
    n, off = len(left_out), left_out - left_out.mean()
    off = np.where(np.abs(off) > 1e-9, off, 0.0)
    variance = (n - 1) / n * (off**2).sum()
    carrying = (off**2).sum() ** 2 / (off**4).sum() if off.any() else 0.0
    freedom = min(n - 1, 3 * carrying) if carrying else n - 1
    quantile = student.ppf((1 + level) / 2, freedom)
    if chance is None:
        centres = (n * value - (n - 1) * left_out.mean(), value)
    else:
        centres = ((value - chance.level) / (1 - chance.level),)
        variance = (variance + chance.moved) / (1 - chance.level) ** 2
    ends = [value, value]
    for centre in np.clip(centres, 0, 1):
        spread = variance / max(centre * (1 - centre), 1e-9) if variance else 0.0
        drawn = (1 / n - spread) / (1 + carrying) ** 2
        low, high = _score(centre, min(spread + max(drawn, 0), 1), quantile)
        ends = [min(ends[0], low), max(ends[1], high)]
    return float(ends[0]), float(ends[1])


def _score(p: float, spread: float, quantile: float) -> tuple[float, float]:
    """Wilson: every q with `(p - q)^2 <= quantile^2 spread q (1 - q)`."""
    wide = quantile**2 * spread
    middle, half = p + wide / 2, np.sqrt(wide * p * (1 - p) + wide**2 / 4)
    return float(max((middle - half) / (1 + wide), 0)), float(min((middle + half) / (1 + wide), 1))
