"""Realistic single sources: some categories missing, some clips noisy (CSOL 4.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Int

from avloc.data_pipelines.dataset import Dataset


def imperfect(
    dataset: Dataset,
    *,
    singles: str,
    scenes: str,
    missing_categories: int = 0,
    noise: float = 0.0,
    seed: int = 0,
) -> Dataset | ImperfectDataset:
    """The data set with gaps and noise in its split of single sources (CSOL table 8).

    Returns the same object if nothing is requested.

    Args:
      dataset: the clean one.
      singles: the split that is changed.
      scenes: the split that noise is drawn from, evenly.
      missing_categories: clips of this many of the last categories are left out. This reads
        labels, because the experiment is defined by them; training does not.
      noise: share of the remaining clips, 0 to 1, that is replaced by scenes. A clip that is
        replaced at one share is replaced at every larger one too.
      seed: fixes which clips, and by which scenes.

    Raises:
      ValueError: no category would be left, the categories are not known, a share outside 0 to 1,
        or there is no such split.
    """
    if not missing_categories and not noise:
        return dataset
    names = dataset.info.class_names
    if missing_categories and not names:
        raise ValueError(
            f"config.data.missing_categories is {missing_categories}, but the data set has no "
            "labels to leave categories out by: set it to 0"
        )
    if missing_categories and not 0 <= missing_categories < len(names):
        raise ValueError(
            f"config.data.missing_categories is {missing_categories}, but the data set has "
            f"{len(names)} categories: leave out 0 to {len(names) - 1}"
        )
    if not 0 <= noise <= 1:
        raise ValueError(f"config.data.noise is a share, 0 to 1, not {noise}")
    clips = np.arange(len(dataset.source(singles)))
    if missing_categories:
        clips = clips[dataset.labels(singles) < len(names) - missing_categories]
    items = np.stack([np.zeros_like(clips), clips], axis=1)
    if not noise:
        return ImperfectDataset(dataset, (singles,), items)
    rng = np.random.default_rng(seed)
    replaced = rng.permutation(len(clips))[: round(noise * len(clips))]
    drawn = np.resize(rng.permutation(len(dataset.source(scenes))), len(replaced))
    items[replaced] = np.stack([np.ones_like(drawn), drawn], axis=1)
    return ImperfectDataset(dataset, (singles, scenes), items)


class ImperfectDataset:
    """A data set of which one split has other items; see `imperfect`.

    Args:
      dataset: the clean one.
      parts: the split that is changed, then others that it takes items from.
      items: content of the split: number of the part, and index in it.
    """

    def __init__(self, dataset: Dataset, parts: Sequence[str], items: Int[np.ndarray, "N 2"]):
        self._dataset, self._parts, self._items = dataset, parts, items
        sizes = {**dataset.info.num_examples, parts[0]: len(items)}
        self.info = replace(dataset.info, num_examples=sizes)

    @property
    def folder(self) -> Path:
        """See `Dataset.folder`."""
        return self._dataset.folder

    def source(self, split: str) -> Sequence[Any]:
        """See `Dataset.source`."""
        if split != self._parts[0]:
            return self._dataset.source(split)
        return _Chosen([self._dataset.source(part) for part in self._parts], self._items)

    def following(self, split: str) -> Int[np.ndarray, " N"]:
        """See `Dataset.following`; in the split that is changed, clips stand alone."""
        if split != self._parts[0]:
            return self._dataset.following(split)
        return np.full(len(self._items), -1)

    def labels(self, split: str) -> Int[np.ndarray, " N"]:
        """See `Dataset.labels`; a scene counts by its first object."""
        if split != self._parts[0]:
            return self._dataset.labels(split)
        labels = [self._dataset.labels(part) for part in self._parts]
        return np.asarray([labels[part][place] for part, place in self._items])


class _Chosen(Sequence):
    """Some items of several sources."""

    def __init__(self, sources: Sequence[Sequence[Any]], items: Int[np.ndarray, "N 2"]):
        self._sources, self._items = sources, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: SupportsIndex) -> Any:
        part, place = self._items[index]
        return self._sources[part][int(place)]
