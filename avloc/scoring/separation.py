"""How well a run separates mixtures of two kinds: SDR, SIR, SAR beside those of the mixture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.separation.masking import targets
from avloc.separation.measures import Separation, separation
from avloc.separation.resampling import resample
from avloc.training.loading import LoadedRun
from avloc.training.methods.separating import Guided, to_float
from avloc.types import Batch

MEASURES = ("sdr", "sir", "sar", "si_sdr")
ROWS = ("mixture", "method", "method, shared", "ideal mask")
"""The mixture as it is; each guide alone with it, as in the papers; both guides sharing it, as
`avloc separate` does; and the best that masks of this kind can do."""


def mixture_pairs(labels: Int[np.ndarray, " S"], count: int, seed: int) -> Int[np.ndarray, "P 2"]:
    """Fixed pairs of clips of two known kinds, each kind and clip about as often as any other.

    Args:
      labels: kind of each clip, -1 where it is not known.
      count: pairs.
      seed: of the draw.

    Raises:
      ValueError: fewer than two kinds.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(labels >= 0)
    if len(np.unique(labels[known])) < 2:
        raise ValueError("the split has clips of one known kind only: mixtures need two")
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count:
        for first in rng.permutation(known):
            others = known[labels[known] != labels[first]]
            pairs.append((int(first), int(rng.choice(others))))
    return np.array(pairs[:count])


def score_separation(
    run: LoadedRun, dataset: Dataset, split: str, *, pairs: int = 64, seed: int = 0, batch: int = 8
) -> dict[str, Any]:
    """Mixes pairs of clips of two kinds, separates them by the clips' own guides, and measures.

    As Sound-of-Pixels does: whole clips at the method's rate, equal gains, means over the two
    sources and then over pairs. Pairs with a silent source or estimate have no measures; they are
    counted in `skipped` of each row.

    Args:
      run: of a method that learns to separate.
      dataset: what to mix.
      split: of it.
      pairs: number of mixtures.
      seed: which ones.
      batch: mixtures at a time.

    Returns:
      For each of `ROWS` the mean of each measure in dB, and `pairs` and `skipped`.

    Raises:
      ValueError: the method cannot separate by guides, or the split has one kind only.
    """
    method = run.method
    if not isinstance(method, Guided):
        raise ValueError(
            f"method {run.config.method!r} cannot separate sounds: choose one that can"
        )
    chosen = mixture_pairs(dataset.labels(split), pairs, seed)
    found: dict[str, list[Separation]] = {row: [] for row in ROWS}
    separate = jax.jit(lambda clips: _separated(method, run.variables, run.aux, clips))
    for clips in _batches(run, dataset, split, chosen, batch):
        sources, *estimated = map(np.asarray, separate(clips))
        for row, estimates in zip(ROWS, estimated, strict=True):
            found[row].append(separation(sources, estimates))
    return {"split": split, "pairs": len(chosen), "seed": seed} | {
        row: _summary(parts, len(chosen)) for row, parts in found.items()
    }


def _batches(
    run: LoadedRun, dataset: Dataset, split: str, pairs: Int[np.ndarray, "P 2"], size: int
) -> Iterator[Batch]:
    """Clips of pairs, the two of each beside each other; the last batch repeats its last pair."""
    source = dataset.source(split)
    padded = pairs[np.minimum(np.arange(-(-len(pairs) // size) * size), len(pairs) - 1)]

    class Chosen(Sequence):
        def __len__(self) -> int:
            return padded.size

        def __getitem__(self, place: Any) -> Any:
            return source[int(padded.ravel()[place])]

    yield from evaluation_batches(
        Chosen(),
        image_size=run.config.image_size,
        batch_size=2 * size,
        slots=dataset.info.max_objects,
        threads=run.config.data.threads,
    )


def _separated(
    guided: Guided, variables: Any, aux: Any, clips: Batch
) -> tuple[Float[Array, "B 2 T"], ...]:
    """Sources, and the estimates of each row."""
    method, variables, guides = guided.guided(variables, aux, clips)
    spec, grid = method.config.separation, method.grid
    sounds = resample(
        to_float(clips.waveform), method.info.sample_rate, method.config.sound.sample_rate
    )
    sources = sounds.reshape(-1, 2, sounds.shape[-1]) / 2
    mixture = sources.sum(axis=1)
    guides = guides.reshape(len(mixture), 2, -1)
    alone = method.unmix(variables, mixture, guides)
    shared = method.unmix(variables, mixture, guides, jnp.ones(guides.shape[:2], bool))
    spectra = grid.spectra(mixture)[:, None]
    ideal = targets(grid.loudness(grid.spectra(sources)), grid.loudness(spectra), spec.mask)
    best = grid.apply(ideal, spectra, sources.shape[-1], spec.mask)
    same = jnp.broadcast_to(mixture[:, None], sources.shape)
    return sources, same, alone, shared, jnp.clip(best, -1, 1)


def _summary(parts: Sequence[Separation], count: int) -> dict[str, float]:
    """Means over the pairs that are not silent, and how many are."""
    heard = np.concatenate([part.heard for part in parts])[:count]
    means = {
        name: np.concatenate([getattr(part, name) for part in parts])[:count][heard].mean()
        if heard.any()
        else np.nan
        for name in MEASURES
    }
    return {name: float(value) for name, value in means.items()} | {"skipped": int((~heard).sum())}
