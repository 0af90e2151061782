"""A built data set, opened: its splits, its sizes, its labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

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
        )

    @cache  # noqa: B019  (a data set lives as long as the process)
    def source(self, split: str) -> Sequence[Any]:
        """Random access to a split's records.

        Raises:
          ValueError: there is no such split.
        """
        if split not in self.info.num_examples:
            raise ValueError(
                f"{self.builder.info.full_name} has no split {split!r}; it has "
                + ", ".join(sorted(self.info.num_examples))
            )
        return self.builder.as_data_source(split)

    @cache  # noqa: B019
    def labels(self, split: str) -> Int[np.ndarray, " N"]:
        """Category of each single-source clip, for evaluation and logs only."""
        source = self.source(split)
        return np.asarray([source[i]["objects"]["label"][0] for i in range(len(source))])
