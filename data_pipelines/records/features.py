"""The one record layout that every data set is stored in."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

SAMPLE_RATE = 16000
"""Sample rate of stored sound, in Hz (mono, int16)."""

CLIP_SECONDS = 1
"""Length of a clip, in seconds."""


def clip_features(
    *, clip_seconds: int = CLIP_SECONDS, log_mel: tuple[int, int] | None = None
) -> tfds.features.FeaturesDict:
    """Features of a clip or scene.

    `frames` holds one or more encoded RGB frames of equal size, in order of time. Object boxes
    are `[ymin, xmin, ymax, xmax]` in 0..1 of the frame, all zero if the position is not known.
    `label` is the index of the category in the metadata's `class_names`, -1 if not known.
    `offscreen` marks a sound without an object in the picture; its box is all zero. `level_db` is
    the RMS level of the object's own sound in the mixture, in dB of full scale: 0 if not known,
    -inf if it is silent.

    Args:
      clip_seconds: length of the sound.
      log_mel: frames and mel bins of a set whose sound is known as a spectrogram alone: `log_mel`
        holds it, in dB, as `audio.log_mel` gives it, and `waveform` is empty.
    """
    length = 0 if log_mel else SAMPLE_RATE * clip_seconds
    # Stored as bytes: as a list of integers, TFDS's default, reading takes twice as long.
    sound = {
        "waveform": tfds.features.Tensor(shape=(length,), dtype=np.int16, encoding="bytes"),
    }
    if log_mel:
        sound["log_mel"] = tfds.features.Tensor(shape=log_mel, dtype=np.float32, encoding="bytes")
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "video": tfds.features.Text(),
            "second": np.int32,
            "frames": tfds.features.Sequence(
                tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
            ),
            **sound,
            "objects": tfds.features.Sequence(
                {
                    "bbox": tfds.features.Tensor(shape=(4,), dtype=np.float32),
                    "label": np.int32,
                    "sounding": np.bool_,
                    "offscreen": np.bool_,
                    "level_db": np.float32,
                }
            ),
        }
    )


def encode_frame(frame: np.ndarray, quality: int = 92) -> io.BytesIO:
    """A `[H, W, 3]` uint8 frame as JPEG, in the form that TFDS stores without TensorFlow."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
        raise ValueError(f"a frame must be [H, W, 3] uint8, not {frame.shape} {frame.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=quality, subsampling=0)
    buffer.seek(0)
    return buffer


def clip_example(
    *,
    id: str,
    video: str,
    second: int,
    frames: Sequence[np.ndarray],
    waveform: np.ndarray | None = None,
    log_mel: np.ndarray | None = None,
    boxes: np.ndarray,
    labels: np.ndarray,
    sounding: np.ndarray,
    offscreen: np.ndarray | None = None,
    level_db: np.ndarray | None = None,
) -> dict:
    """An example in the layout of `clip_features`, ready for a TFDS builder to yield.

    The sound is `waveform`, or `log_mel` where no waveform is known. Without `offscreen` every
    object is in the picture; without `level_db` no level is known.
    """
    offscreen = np.zeros(len(labels), bool) if offscreen is None else offscreen
    level_db = np.zeros(len(labels)) if level_db is None else level_db
    if (waveform is None) == (log_mel is None):
        raise ValueError(f"{id}: give either a waveform or a log-mel, not both or neither")
    sound = {"waveform": np.asarray([] if waveform is None else waveform, np.int16)}
    if log_mel is not None:
        sound["log_mel"] = np.asarray(log_mel, np.float32)
    return {
        "id": id,
        "video": video,
        "second": second,
        "frames": [encode_frame(frame) for frame in frames],
        **sound,
        "objects": [
            {
                "bbox": np.asarray(b, np.float32),
                "label": int(c),
                "sounding": bool(s),
                "offscreen": bool(o),
                "level_db": np.float32(d),
            }
            for b, c, s, o, d in zip(boxes, labels, sounding, offscreen, level_db, strict=True)
        ],
    }
