"""Reads records of a built split one by one, decoding only the pictures that are used."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

_RAW = tfds.decode.DeserializeMethod.RAW_BYTES


class Frames(Sequence):
    """The frames of a record, each decoded on request: only one of a clip's four is used.

    Args:
      encoded: as stored.
    """

    def __init__(self, encoded: Sequence[bytes]) -> None:
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, place: SupportsIndex) -> UInt8[np.ndarray, "H W 3"]:
        with Image.open(io.BytesIO(self._encoded[place]), formats=["JPEG"]) as image:
            return np.asarray(image.convert("RGB"))


class Records(Sequence):
    """Random access to a split, in the layout of `features.clip_features`; `frames` is `Frames`.

    Args:
      builder: of a built data set.
      split: one of its splits.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        frames = tfds.features.Sequence(tfds.features.Text())
        self._features = tfds.features.FeaturesDict({**builder.info.features, "frames": frames})
        self._source = builder.as_data_source(split, deserialize_method=_RAW)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, place: SupportsIndex) -> dict[str, Any]:
        record = self._features.deserialize_example_np(self._source[range(len(self))[place]])
        return {**record, "frames": Frames(record["frames"])}


def some_fields(
    builder: tfds.core.DatasetBuilder, split: str, *names: str
) -> Iterator[dict[str, Any]]:
    """These fields of each record of a split, in order; nothing else is decoded."""
    kept = tfds.features.FeaturesDict({name: builder.info.features[name] for name in names})
    records = builder.as_data_source(split, deserialize_method=_RAW)
    for place in range(len(records)):
        yield kept.deserialize_example_np(records[place])
