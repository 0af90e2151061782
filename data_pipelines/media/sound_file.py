"""The second in the middle of a sound file, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from jaxtyping import Float32

from avloc.data_pipelines.media.opening import VideoError, open_file
from avloc.data_pipelines.media.tracks import sound_of
from avloc.data_pipelines.media.waveform import Mono, Resampler, to_mono
from avloc.data_pipelines.records.features import CLIP_SECONDS, SAMPLE_RATE


def middle_second(path: str | Path) -> Mono:
    """The second in the middle of a sound file, or of a video's sound; all of a shorter one.

    The file is decoded twice, so that only a second of it is in memory.

    Raises:
      VideoError: it cannot be read, holds no sound, or what it holds is no sound.
    """
    length = CLIP_SECONDS * SAMPLE_RATE
    total = sum(len(samples) for samples in _pieces(path))
    if not total:
        raise VideoError(f"{path}: the sound track is empty")
    start, place, kept = max(0, (total - length) // 2), 0, []
    for samples in _pieces(path):
        kept.append(samples[max(0, start - place) : max(0, start + length - place)])
        place += len(samples)
        if place >= start + length:
            break
    kept = [samples for samples in kept if len(samples)]
    if len({samples.shape[1] for samples in kept}) > 1:  # the track changes within the second
        kept = [samples.mean(axis=1, keepdims=True) for samples in kept]
    return to_mono(np.concatenate(kept).T)


def _pieces(path: str | Path) -> Iterator[Float32[np.ndarray, "n C"]]:
    """The whole sound at `SAMPLE_RATE`, piece by piece."""
    resampler, form = None, None
    try:
        with open_file(path) as container:
            if not container.streams.audio:
                raise VideoError(f"{path}: no sound track")
            for frame in container.decode(audio=0):
                samples = sound_of(frame, path)
                now = (frame.sample_rate, samples.shape[1])
                if now != form:
                    if resampler is not None:
                        yield resampler.rest()
                    resampler, form = Resampler(*now), now
                yield resampler.take(samples)
        if resampler is not None:
            yield resampler.rest()
    except VideoError as fault:
        raise VideoError(str(fault).replace("not a video", "not sound")) from fault
    except FFmpegError as fault:
        raise VideoError(f"{path}: not sound that can be read ({fault.strerror})") from fault
