"""Random views of a clip's sound in training: another moment, another pitch, some noise."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float32, Int16

QUIETEST_HISS_DB = 50.0
"""The faintest noise lies so many dB below the sound."""


class SoundViews(NamedTuple):
    """What may change; the default is nothing.

    Attributes:
      offset: whether a clip starts at a random moment, where its video goes on after it.
      semitones: it is up to so much higher or lower, and faster or slower, by resampling.
      hiss_db: white noise is added, at most so many dB below the sound's own level; 0: none.
    """

    offset: bool = False
    semitones: float = 0.0
    hiss_db: float = 0.0

    def any(self) -> bool:
        """Whether a view can differ from the clip."""
        return self != AS_IT_IS


AS_IT_IS = SoundViews()


def training_sound(
    waveform: Int16[np.ndarray, " T"],
    following: Int16[np.ndarray, " F"],
    views: SoundViews,
    rng: np.random.Generator,
) -> Int16[np.ndarray, " T"]:
    """A random view of a sound, as long as the sound itself.

    Where a faster view needs more than there is, it ends with silence.

    Args:
      waveform: of the clip.
      following: what the video goes on with; empty where that is not known.
      views: what may change.
      rng: the only source of randomness; a generator in the same state gives the same view.
    """
    length, sound = len(waveform), np.concatenate([waveform, following]).astype(np.float32)
    faster = 2 ** (rng.uniform(-views.semitones, views.semitones) / 12)
    span = faster * (length - 1)
    start = rng.uniform(0, max(0.0, len(sound) - 1 - span)) if views.offset else 0.0
    view = _played(sound[round(start) :], faster, length)
    if views.hiss_db:
        level = np.sqrt(np.mean(view**2))
        below = rng.uniform(views.hiss_db, max(views.hiss_db, QUIETEST_HISS_DB))
        view += rng.normal(scale=level * 10 ** (-below / 20) + 1e-9, size=length)
    return np.clip(np.rint(view), -32768, 32767).astype(np.int16)


def _played(
    sound: Float32[np.ndarray, " S"], faster: float, length: int
) -> Float32[np.ndarray, " T"]:
    """The beginning of a sound, so many times as fast and so much higher; then silence."""
    if faster != 1:
        needed = ceil(faster * length) + _RUN_OUT
        sound = soxr.resample(sound[:needed], faster, 1.0)
    return np.pad(sound[:length], (0, max(0, length - len(sound))))


_RUN_OUT = 1000  # samples behind those that are played, so that the filter meets no edge there
