"""Populations of videos whose true scores are known, to draw test sets from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avloc.evaluation.clusters import weighted_nmi
from avloc.evaluation.perception import mean_average_precision

Draw = Callable[[np.random.Generator], tuple]
"""Gives the values of the items of a test set, and their videos."""

_LARGE = 4000  # videos of the set that a true value is taken from


def coverage(draw: Draw, truth: float, run: Callable, times: int, seed: int = 0) -> float:
    """The share of test sets whose interval holds the truth, of those that have one."""
    rng = np.random.default_rng(seed)
    found = [run(*draw(rng)) for _ in range(times)]
    held = [one.low - 1e-9 <= truth <= one.high + 1e-9 for one in found if not np.isnan(one.low)]
    return float(np.mean(held)) if held else 1.0


def rates(videos: int, rate: float, alike: float, items: int = 20) -> Draw:
    """Items that are right or wrong; `alike` is the correlation of two items of a video."""
    a, b = (x * (1 - alike) / max(alike, 1e-6) for x in (rate, 1 - rate))

    def draw(rng):
        right = rng.random((videos, items)) < rng.beta(a, b, (videos, 1))
        return right.ravel().astype(float), np.repeat(np.arange(videos), items)

    return draw


def means(videos: int, items: int = 20) -> tuple[Draw, float]:
    """Scores of 0 to 1 about the quality of their video, half of which is 0: the mean is 1/8."""

    def draw(rng):
        quality = rng.beta(1, 3, (videos, 1)) * (rng.random((videos, 1)) < 0.5)
        scores = rng.beta(np.maximum(4 * quality, 1e-3), 4 * (1 - quality), (videos, items))
        return (scores * (quality > 0)).ravel(), np.repeat(np.arange(videos), items)

    return draw, 1 / 8


def mixtures(
    videos: int, kinds: int, signal: float = 1.5, shift: float = 0.7, items: int = 10
) -> tuple[Draw, float]:
    """Scores and truth of mixtures: a video has two kinds of its own, and its own errors."""

    def drawn(rng, videos):
        own = np.argsort(rng.random((videos, kinds)), axis=1)[:, :2]
        sounds = rng.random((videos, items, 2)) < 0.6
        sounds[..., 0] |= ~sounds.any(-1)
        truth = (sounds[..., None] & (own[:, None, :, None] == np.arange(kinds))).any(2)
        noise = shift * rng.normal(size=(videos, 1, kinds)) + rng.normal(size=truth.shape)
        arrays = ((signal * truth + noise).reshape(-1, kinds), truth.reshape(-1, kinds))
        return arrays, np.repeat(np.arange(videos), items)

    large, of_video = drawn(np.random.default_rng(5), _LARGE)
    truth = mean_average_precision(*large, weights=np.ones((1, len(of_video))))[0]
    return lambda rng: drawn(rng, videos), float(truth)


def clustered(
    videos: int, kinds: int, right: float = 0.8, noise: float = 0.1, items: int = 10
) -> tuple[Draw, float]:
    """Labels and clusters of clips: some videos are in a wrong cluster, and some single clips."""

    def drawn(rng, videos):
        label = rng.integers(0, kinds, (videos, 1))
        cluster = np.where(
            rng.random((videos, 1)) < right, label, rng.integers(0, kinds, (videos, 1))
        )
        stray = rng.random((videos, items)) < noise
        cluster = np.where(stray, rng.integers(0, kinds, stray.shape), cluster)
        arrays = np.repeat(label, items), cluster.ravel()
        return arrays, np.repeat(np.arange(videos), items)

    (labels, clusters), of_video = drawn(np.random.default_rng(5), 10 * _LARGE)
    return lambda rng: drawn(rng, videos), float(
        weighted_nmi(labels, clusters, np.ones((1, len(of_video))))[0]
    )
