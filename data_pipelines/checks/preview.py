"""Items of a built split, for viewing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.media.audio import log_mel


class Item(NamedTuple):
    """The pictures, boxes and sound of a record, for viewing.

    Attributes:
      id: its name.
      frame: the middle one, RGB.
      boxes: `[ymin, xmin, ymax, xmax]` in 0..1; all zero if an object's position is not known.
      labels: category of each object, -1 where not known.
      sounding: whether each object is heard.
      offscreen: whether each is a sound from off screen.
      spectrogram: log-mel in dB, time by mel bin.
    """

    id: str
    frame: UInt8[np.ndarray, "H W 3"]
    boxes: Float[np.ndarray, "M 4"]
    labels: Int[np.ndarray, " M"]
    sounding: Bool[np.ndarray, " M"]
    offscreen: Bool[np.ndarray, " M"]
    spectrogram: Float[np.ndarray, "T mels"]


def spread(total: int, count: int) -> Int[np.ndarray, " n"]:
    """At most `count` of `total` indices, evenly spaced, including the first and the last."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))


def items(dataset: Dataset, split: str, count: int) -> list[Item]:
    """At most `count` items, spread evenly over a split in its own order.

    Raises:
      ValueError: there is no such split, or fewer than one item is asked for.
    """
    if count < 1:
        raise ValueError(f"a preview shows 1 item or more, not {count}")
    source = dataset.source(split)
    chosen = []
    for place in spread(len(source), count):
        record = source[int(place)]
        objects, frames = record["objects"], record["frames"]
        chosen.append(
            Item(
                id=record["id"].decode(),
                frame=np.asarray(frames[len(frames) // 2]),
                boxes=np.asarray(objects["bbox"], np.float32).reshape(-1, 4),
                labels=np.asarray(objects["label"], np.int32),
                sounding=np.asarray(objects["sounding"], bool),
                offscreen=np.asarray(objects["offscreen"], bool),
                spectrogram=_spectrogram(record),
            )
        )
    return chosen


def _spectrogram(record: Mapping[str, Any]) -> Float[np.ndarray, "T mels"]:
    """The stored spectrogram, or that of the waveform."""
    if "log_mel" in record:
        return np.asarray(record["log_mel"], np.float32)
    waveform = np.asarray(record["waveform"], np.int16)
    return np.asarray(log_mel(jnp.asarray(waveform)[None])[0, ..., 0])
