"""Reads records of a built split one by one, decoding only the pictures that are used."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
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


@contextmanager
def _told(builder: tfds.core.DatasetBuilder, split: str, place: int) -> Iterator[None]:
    """Says of a record that cannot be read which it is, and what to do.

    The shards' lengths are looked at when a data set is opened; this is a fault inside of one.
    """
    try:
        yield
    except (RuntimeError, ValueError, LookupError, TypeError, DecodeError) as fault:
        raise ValueError(
            f"record {place} of split {split} in {builder.data_path} is damaged "
            f"({str(fault).partition(chr(10))[0]}): remove that folder and build the data set again"
        ) from fault


class Records(Sequence):
    """Random access to a split, in the layout of `features.clip_features`; `frames` is `Frames`.

    Args:
      builder: of a built data set.
      split: one of its splits.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        self._builder, self._split = builder, split
        frames = tfds.features.Sequence(tfds.features.Text())
        self._features = tfds.features.FeaturesDict({**builder.info.features, "frames": frames})
        self._source = builder.as_data_source(split, deserialize_method=_RAW)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, place: SupportsIndex) -> dict[str, Any]:
        place = range(len(self))[place]
        with _told(self._builder, self._split, place):
            record = self._features.deserialize_example_np(self._source[place])
            return {**record, "frames": Frames(record["frames"])}


def some_fields(
    builder: tfds.core.DatasetBuilder, split: str, *names: str
) -> Iterator[dict[str, Any]]:
    """These fields of each record of a split, in order; nothing else is decoded."""
    kept = tfds.features.FeaturesDict({name: builder.info.features[name] for name in names})
    records = builder.as_data_source(split, deserialize_method=_RAW)
    for place in range(len(records)):
        with _told(builder, split, place):
            record = kept.deserialize_example_np(records[place])
        yield record
