"""An opened data set: its splits, sizes and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from avloc.data_pipelines import registry
from avloc.data_pipelines.records.fingerprint import (
    fingerprint,
    of_parts,
    stored_fingerprint,
)
from avloc.data_pipelines.records.reading import Records, some_fields
from avloc.naming import did_you_mean
from avloc.types import DatasetInfo


class Dataset:
    """Reads the splits of a built TFDS data set, without TensorFlow.

    Args:
      builder: of a data set in the layout of `features.clip_features`, already built.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder):
        self.builder = builder
        self.metadata = dict(builder.info.metadata or {})
        self.info = DatasetInfo(
            num_examples={name: split.num_examples for name, split in builder.info.splits.items()},
            class_names=tuple(self.metadata.get("class_names", ())),
            max_objects=max(DatasetInfo.max_objects, int(self.metadata.get("max_objects", 0))),
            name=self.name,
            fingerprint=fingerprint(builder),
            stored=stored_fingerprint(builder),
        )

    @staticmethod
    def open(spec: str, data_dir: str | Path | None = None) -> Dataset:
        """Opens a built data set, or several of the same classes as one: `A+B`.

        Args:
          spec: as in `registry.open_dataset`, or several of these joined by `+`.
          data_dir: as there.

        Raises:
          ValueError: as there; or the classes of several differ, or two have a split of one name.
        """
        parts = [Dataset(registry.open_dataset(part, data_dir)) for part in spec.split("+")]
        return parts[0] if len(parts) == 1 else JoinedDataset(parts)

    @cache  # noqa: B019  (a data set lives as long as the process)
    def source(self, split: str) -> Sequence[Any]:
        """Random access to a split's records.

        Raises:
          ValueError: there is no such split.
        """
        if split not in self.info.num_examples:
            raise ValueError(
                f"{self.name} has no split {split!r}; it has "
                + ", ".join(sorted(self.info.num_examples))
                + did_you_mean(split, self.info.num_examples)
            )
        return self._open(split)

    @property
    def name(self) -> str:
        """Name, configuration and version."""
        return self.builder.info.full_name

    def _open(self, split: str) -> Sequence[Any]:
        return Records(self.builder, split)

    @cache  # noqa: B019
    def labels(self, split: str) -> Int[np.ndarray, " N"]:
        """Category of each single-source clip, for evaluation and logs only."""
        self.source(split)  # says so where there is no such split
        return self._labels(split)

    def _labels(self, split: str) -> Int[np.ndarray, " N"]:
        records = some_fields(self.builder, split, "objects")
        return np.asarray([record["objects"]["label"][0] for record in records])

    @cache  # noqa: B019
    def following(self, split: str) -> Int[np.ndarray, " N"]:
        """For each clip the one that begins where it ends, in its video; -1 where none does."""
        self.source(split)
        return self._following(split)

    def _following(self, split: str) -> Int[np.ndarray, " N"]:
        records = some_fields(self.builder, split, "video", "second")
        moments = [(record["video"], int(record["second"])) for record in records]
        places = {moment: place for place, moment in enumerate(moments)}
        length = self.builder.info.features["waveform"].shape[0] / self.info.sample_rate
        return np.asarray([places.get((video, second + length), -1) for video, second in moments])

    @property
    def folder(self) -> Path:
        """Where it is stored; of several, where the first one is."""
        return Path(self.builder.data_path)


class JoinedDataset(Dataset):
    """Several data sets as one, with the splits of each and the metadata of the first.

    Args:
      parts: of the same classes, without a split in common.

    Raises:
      ValueError: their classes differ, or they share a split.
    """

    def __init__(self, parts: Sequence[Dataset]):
        first, *others = self._parts = tuple(parts)
        for part in others:
            if part.info.class_names != first.info.class_names:
                raise ValueError(
                    f"{first.name} and {part.name} cannot be joined: their classes differ "
                    f"({_brief(first.info.class_names)} and {_brief(part.info.class_names)})"
                )
        splits = Counter(split for part in parts for split in part.info.num_examples)
        if twice := [split for split, count in splits.items() if count > 1]:
            names = " and ".join(part.name for part in parts)
            raise ValueError(f"{names} cannot be joined: more than one has {', '.join(twice)}")
        self.metadata = {key: value for part in parts[::-1] for key, value in part.metadata.items()}
        self.info = DatasetInfo(
            num_examples={k: v for part in parts for k, v in part.info.num_examples.items()},
            class_names=first.info.class_names,
            max_objects=max(part.info.max_objects for part in parts),
            name=self.name,
            fingerprint=of_parts(tuple(part.info.fingerprint for part in parts)),
            stored=of_parts(tuple(part.info.stored for part in parts)),
        )

    @property
    def name(self) -> str:
        """The names of its parts, joined by `+`."""
        return "+".join(part.name for part in self._parts)

    def _part(self, split: str) -> Dataset:
        return next(part for part in self._parts if split in part.info.num_examples)

    def _open(self, split: str) -> Sequence[Any]:
        return self._part(split).source(split)

    def _labels(self, split: str) -> Int[np.ndarray, " N"]:
        return self._part(split).labels(split)

    def _following(self, split: str) -> Int[np.ndarray, " N"]:
        return self._part(split).following(split)

    @property
    def folder(self) -> Path:
        return self._parts[0].folder


def _brief(names: Sequence[str], most: int = 4) -> str:
    """The number of names, and the first few."""
    shown = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"{len(names)}: {shown}" if names else "none"
