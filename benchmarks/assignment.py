"""Cluster-to-category assignment against the published search: a million random draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from avloc.clustering import match
from benchmarks.row import Equality, Row, in_turn

DRAWS = 1_000_000


def draw(frequencies: Float[np.ndarray, "N K"], draws: int, seed: int = 0) -> Int[np.ndarray, " K"]:
    """Best of random assignments in which every category has a cluster, as in DSOL's search.

    A draw assigns the categories to as many random clusters, and a random category to each other
    cluster; the largest sum of P is kept.
    """
    rng = np.random.default_rng(seed)
    n, k = frequencies.shape
    columns, best, kept = np.arange(k), -np.inf, np.zeros(k, int)
    for _ in range(draws):
        categories = rng.integers(0, n, k)
        categories[rng.permutation(k)[:n]] = np.arange(n)
        total = frequencies[categories, columns].sum()
        if total > best:
            best, kept = total, categories
    return kept


def best_exchange(
    frequencies: Float[np.ndarray, "N K"], categories: Int[np.ndarray, " K"]
) -> float:
    """The gain from passing clusters around categories: 0 at the optimum, else more.

    Assignments are flows, and a flow without a cycle of positive gain is the best one. An edge from
    a to b passes that cluster of a which gains most; the node behind the categories lends clusters
    to those that may lose one, and takes those that any other has got. Longest paths by Floyd and
    Warshall.
    """
    n = len(frequencies)
    gain = np.full((n + 1, n + 1), -np.inf)
    gain[:n, n] = 0
    for a in range(n):
        own = frequencies[:, categories == a]
        gain[a, :n] = (own - own[a]).max(axis=1)
        if own.shape[1] > 1:
            gain[n, a] = 0
    for middle in range(n + 1):
        gain = np.maximum(gain, gain[:, middle, None] + gain[middle])
    return float(gain.diagonal().max())


def rows(quick: bool) -> Iterator[Row]:
    """20 clusters of 11 categories, and 5,000 of 310."""
    for k, n, draws, calls in ((20, 11, 20_000, 1_000), (5_000, 310, 2_000, 1)):
        if quick:
            k, n, draws = min(k, 50), min(n, 20), 50
        yield _row(k, n, draws, calls)


def _row(k: int, n: int, draws: int, calls: int) -> Row:
    frequencies = np.random.default_rng(0).dirichlet(np.full(k, 0.1), size=n)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        for _ in range(calls):
            found["ours"] = match(frequencies)

    times = in_turn(
        {"ours": ours, "draws": lambda: found.update(draws=draw(frequencies, draws))}, rounds=3
    )

    def total(categories: np.ndarray) -> float:
        return float(frequencies[categories, np.arange(k)].sum())

    return Row(
        f"cluster-to-category, {k:,} x {n}",
        f"{DRAWS:,} random draws",
        tuple(seconds / calls for seconds in times["ours"]),
        tuple(seconds * DRAWS / draws for seconds in times["draws"]),
        target=1000,
        equality=Equality(
            "gain of the best exchange", best_exchange(frequencies, found["ours"]), 1e-9
        ),
        note=f"{draws:,} draws timed and scaled to all; sum of P {total(found['ours']):.4g}, best "
        f"of these draws {total(found['draws']):.4g}",
    )
