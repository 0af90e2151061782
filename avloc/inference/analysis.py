"""The sounding objects in each second of a video, and how they are shown at any time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float16, UInt8

from avloc.data_pipelines.media.image import evaluation_view
from avloc.data_pipelines.media.video import END_SLACK, FRAMES_PER_CLIP, Clip
from avloc.drawing.rendering import draw
from avloc.drawing.timeline import Timeline
from avloc.inference.localizer import Localizer


class Second(NamedTuple):
    """What was found in one second of a video.

    Attributes:
      second: which, from 0.
      scores: of each category, the mean over the second's frames.
      sounding: scores that reach the threshold.
      maps: of each sounding category, one map a frame, as a share of the map's maximum.
      boxes: for each category, boxes and their scores in the middle frame; none if silent.
    """

    second: int
    scores: Float[np.ndarray, " N"]
    sounding: Bool[np.ndarray, " N"]
    maps: dict[int, Float16[np.ndarray, "F h w"]]
    boxes: list[tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]]


def analyse(model: Localizer, clips: Iterable[Clip], batch_size: int) -> Iterator[Second]:
    """Applies a model to clips as they come, in batches of equal size."""
    size = model.image_size
    views = (
        (clip.place, np.stack([evaluation_view(f, size) for f in clip.frames]), clip.waveform)
        for clip in clips
    )
    per_clip = FRAMES_PER_CLIP
    per_batch = max(1, batch_size // per_clip)
    while group := list(islice(views, per_batch)):
        images = np.concatenate([frames for _, frames, _ in group])
        sounds = np.repeat(np.stack([sound for _, _, sound in group]), per_clip, axis=0)
        padding = per_batch * per_clip - len(images)  # one shape, so that it compiles once
        images = np.pad(images, ((0, padding), (0, 0), (0, 0), (0, 0)))
        maps, scores = model.predict(images, np.pad(sounds, ((0, padding), (0, 0))))
        for i, (second, _, _) in enumerate(group):
            frames = slice(i * per_clip, (i + 1) * per_clip)
            yield _summarise(model, second, maps[frames], scores[frames].mean(0))


def _summarise(model: Localizer, second: int, maps: np.ndarray, scores: np.ndarray) -> Second:
    sounding = model.sounding(scores)
    relative = {}
    for n in map(int, np.flatnonzero(sounding)):
        peak = np.maximum(maps[..., n].max(axis=(1, 2), keepdims=True), 1e-12)
        relative[n] = np.float16(maps[..., n] / peak)
    return Second(second, scores, sounding, relative, model.boxes(maps[len(maps) // 2], sounding))


class Overlay:
    """What to draw over a frame, and the strip below it, at any time of a video.

    The last part of a second, too short to be analysed, is shown like the second before it. Other
    seconds that were not analysed show nothing.
    """

    def __init__(self, seconds: Sequence[Second], names: Sequence[str], length: float) -> None:
        """`seconds` in order, at least one; `length` of the video in seconds, 0 if not known."""
        self._names = names
        self._seconds = {s.second: s for s in seconds}
        last = seconds[-1].second
        self._tail = last + 1 if length < last + 2 - END_SLACK else None
        total = max(last + 1, math.ceil(length - END_SLACK))
        shown = [self._second(s) for s in range(total)]
        silent = np.zeros(len(names))
        self._timeline = partial(
            Timeline,
            np.array([s.scores if s else silent for s in shown]),
            np.array([s.sounding if s else silent for s in shown], bool),
            names,
        )
        self._strip: Timeline | None = None

    def _second(self, index: int) -> Second | None:
        return self._seconds.get(index - 1 if index == self._tail else index)

    def at(
        self, time: float
    ) -> tuple[Float[np.ndarray, "h w N"], Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
        """Maps, strength of drawing (0 to 1) and scores at a time, in seconds.

        Maps change linearly between the analysed frames, so objects that start or stop sounding
        fade in or out.
        """
        strength = np.zeros(len(self._names), np.float32)
        now = self._second(int(time))
        if now is None:
            return np.zeros((1, 1, len(self._names)), np.float32), strength, strength
        position = (time - now.second) * FRAMES_PER_CLIP - 0.5
        index = math.floor(position)
        maps: dict[int, np.ndarray] = {}
        scores = now.scores.copy()
        for place, weight in ((index, index + 1 - position), (index + 1, position - index)):
            second, frame = self._frame(now, place)
            for n, relative in second.maps.items():
                maps[n] = maps.get(n, 0) + np.float32(weight) * relative[frame]
                strength[n] += weight
                if not now.sounding[n]:  # a name that fades out keeps its last score
                    scores[n] = second.scores[n]
        shape = next(iter(maps.values())).shape if maps else (1, 1)
        dense = np.zeros((*shape, len(self._names)), np.float32)
        for n, map in maps.items():
            dense[..., n] = map
        return dense, strength, scores

    def _frame(self, now: Second, place: int) -> tuple[Second, int]:
        """The analysed frame at a place counted from the start of a second, or the nearest one."""
        if place < 0 and now.second - 1 in self._seconds:
            return self._seconds[now.second - 1], FRAMES_PER_CLIP - 1
        if place >= FRAMES_PER_CLIP and now.second + 1 in self._seconds:
            return self._seconds[now.second + 1], 0
        return now, min(max(place, 0), FRAMES_PER_CLIP - 1)

    def draw(self, frame: UInt8[np.ndarray, "H W 3"], time: float) -> UInt8[np.ndarray, "H2 W2 3"]:
        """The frame with the strip below; both sides are made even, as video codecs require."""
        maps, strength, scores = self.at(time)
        shown = draw(frame, maps, self._names, sounding=strength, scores=scores)
        if self._strip is None:
            self._strip = self._timeline(frame.shape[1])
        whole = np.concatenate([shown, self._strip.at(time)])
        odd = (whole.shape[0] % 2, whole.shape[1] % 2)
        return np.pad(whole, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else whole
