"""Reads the picture and the sound track of a file at wanted times, as streams of bounded memory.

Time is counted in seconds from the start of the file, `origin` on its own clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float32, UInt8
from PIL import Image

from avloc.data_pipelines.media.opening import VideoError, clock_start
from avloc.data_pipelines.media.pictures import PictureError, check_size, read_picture
from avloc.data_pipelines.media.waveform import Mono, Resampler, rate, samples_of, to_mono
from avloc.data_pipelines.records.features import SAMPLE_RATE

END_SLACK = 0.05
"""A track may end early (or start late) by this share of a clip and still fill it."""

START_SLACK = 0.25
"""Pictures may begin this many seconds late: many codecs need some frames before the first."""

SEEK_GAP = 10.0
"""Unwanted stretches up to this many seconds are decoded, not skipped: key frames are rare."""

_SEEK_MARGIN = 1.0
"""Decoding starts this many seconds early: decoders need a run-up."""

LONGEST_GAP = 3600.0
"""Time stamps that leave out more seconds than this are not believed: the track ends there."""

_JITTER = 0.05
"""A time stamp of sound this many seconds away from the end of the samples counts as a jump."""

_SEEKABLE = ("mp4", "matroska")
"""Containers with an index, in which seeking is exact."""


class Damage(Exception):
    """The track cannot be read beyond `time` seconds of the file's own clock."""

    def __init__(self, time: float):
        super().__init__(time)
        self.time = time


class Want(NamedTuple):
    """A clip wanted from a file, in seconds from its start.

    Attributes:
      start: where its sound begins.
      times: of its frames, ascending.
      since: the pictures must begin at the latest here.
      until: the pictures must last at least to here.
    """

    start: float
    times: tuple[float, ...]
    since: float
    until: float

    @property
    def begin(self) -> float:
        """Where it begins, pictures or sound."""
        return min(self.start, self.times[0])


class Pictures:
    """The picture track: the frames nearest to wanted times.

    Attributes:
      origin: where the file starts on its own clock; known after `start`.
      first: time of the first picture on that clock; known after `start`.
      end: time at which the last picture ends, on the file's clock; -inf until it is decoded.
    """

    def __init__(self, container, stream, max_side: int | None):
        stream.thread_type = "AUTO"
        self.container, self._stream, self._max_side = container, stream, max_side
        self._size: tuple[int, int] | None = None
        self._array: np.ndarray | None = None
        self.origin: float | None = None
        self.first = self.end = -np.inf
        self._jumped = False

    def start(self, begin: float) -> None:
        """Finds the first picture, then goes to shortly before `begin`."""
        self._frames = decode(self.container, self._stream)
        self._shown = next(self._frames, None)
        if self._shown is None:
            raise Damage(0.0)
        self.first = self._shown.time
        self.origin = clock_start(self.container, self.first)
        self._set_size(self._shown)
        if begin > SEEK_GAP:
            self._frames = frames_from(self.container, self._stream, self.origin + begin)
            self._shown = next(self._frames, self._shown)
        self._next = self._following(gap=0.0)

    def wanted(
        self, wants: Iterable[tuple[int, Want]]
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "n H W 3"], list[float]]]:
        """Index of each want, its frames, and how much later each one is than requested.

        Leaves out wants that begin before the track, and ends at the first that it does not last
        for. Wants ascend.

        Raises:
          Damage: a want lies where the time stamps have jumped by more than `LONGEST_GAP`.
        """
        for place, want in wants:
            if self.first - self.origin > want.since:
                continue
            frames, late = [], []
            for time in want.times:
                self._go_to(time)
                frames.append(self._rgb())
                late.append(self._shown.time - self.origin - time)
            self._go_to(want.until)
            if np.isfinite(self.end) and self.end < self.origin + want.until:
                if self._jumped:
                    raise Damage(self.end)
                return
            yield place, np.stack(frames), late

    def _go_to(self, time: float) -> None:
        """Shows the frame nearest to a time, the last one after the end; never goes back."""
        target = self.origin + time
        while self._next is not None and target >= (self._shown.time + self._next.time) / 2:
            gap = self._next.time - self._shown.time
            self._shown, self._array = self._next, None
            self._next = self._following(gap)

    def _following(self, gap: float) -> av.VideoFrame | None:
        """The frame after the one shown."""
        for frame in self._frames:
            if frame.time - self._shown.time > LONGEST_GAP:
                self._jumped = True
                break
            if frame.time > self._shown.time:
                return frame
        length = float((self._shown.duration or 0) * self._shown.time_base)
        self.end = self._shown.time + (length or gap)
        return None

    def _set_size(self, frame: av.VideoFrame) -> None:
        """All frames get the size of the first, whatever the track does later."""
        check_sides(frame.width, frame.height, self.container.name)
        self._size = scaled_down(frame.width, frame.height, self._max_side)

    def _rgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """The frame shown, upright."""
        if self._array is None:
            frame = self._shown
            rgb = frame.reformat(*self._size, format="rgb24", interpolation="AREA").to_ndarray()
            self._array = np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))
        return self._array


class Still:
    """A picture in place of a picture track; see `Pictures`."""

    container, origin, end = None, 0.0, -np.inf

    def __init__(self, path: str | Path, max_side: int | None):
        try:
            picture = Image.fromarray(read_picture(path))
        except PictureError as fault:
            raise VideoError(str(fault)) from fault
        size = scaled_down(*picture.size, max_side)
        self._array = np.asarray(picture.resize(size, Image.Resampling.BOX))

    def start(self, begin: float) -> None:
        """Does nothing: a picture has no start to find."""

    def wanted(
        self, wants: Iterable[tuple[int, Want]]
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "1 H W 3"], list[float]]]:
        """The picture, for each want."""
        for place, _ in wants:
            yield place, self._array[None], [0.0]


class Sound:
    """The sound track: wanted stretches as int16 mono at `SAMPLE_RATE`.

    Attributes:
      origin: moment of the file's clock from which wants are counted; known once it is read.
      end: time up to which sound was read, on the file's clock.
    """

    def __init__(self, container, stream, *, apart: bool):
        stream.thread_type = "AUTO"
        self._container, self._stream, self._apart = container, stream, apart
        self.origin = self.end = 0.0

    def wanted(
        self, wants: Iterable[Want], seconds: int, *, begin: float, pictures: float
    ) -> Iterator[tuple[int, Want, Mono]]:
        """Index of each want, the want, and its sound, with silence where samples are missing.

        A want without any sound, or beyond the start or end of the track, is left out.

        Args:
          wants: ascending, perhaps endless.
          seconds: length of each stretch.
          begin: nothing before it is wanted.
          pictures: where their file starts on its own clock. A separate file of the sound starts
            at the same moment.
        """
        self.origin = origin = clock_start(self._container) if self._apart else pictures
        self.end = origin + begin
        length = seconds * SAMPLE_RATE
        slack = round(END_SLACK * length)
        waiting, open_ = iter(enumerate(wants)), deque()
        coming, first = next(waiting, None), None
        for time, samples in self._segments(origin + begin if begin > SEEK_GAP else None):
            start = round((time - origin) * SAMPLE_RATE)
            first = start if first is None else first
            while open_ and open_[0].start + length <= start:
                if (stretch := open_.popleft()).reached:
                    yield stretch.place, stretch.want, stretch.mono()
            while coming and (place := round(coming[1].start * SAMPLE_RATE)) < start + len(samples):
                if first - slack <= place and start < place + length:
                    open_.append(_Stretch(*coming, place, length, samples.shape[1]))
                coming = next(waiting, None)
            for stretch in open_:
                stretch.fill(start, samples)
            while open_ and open_[0].reached == length:
                stretch = open_.popleft()
                yield stretch.place, stretch.want, stretch.mono()
            if coming is None and not open_:
                return
        for stretch in open_:
            if stretch.reached >= length - slack:
                yield stretch.place, stretch.want, stretch.mono()

    def seconds(self, pictures: float) -> Iterator[Mono]:
        """Every second from the start of the file, with silence where samples are missing.

        The last one is as long as the track. A second in which nothing was read is silent.

        Args:
          pictures: where the file starts on its own clock.
        """
        self.origin = pictures
        stretch = None
        for time, samples in self._segments(None):
            start = round((time - pictures) * SAMPLE_RATE)
            while start + len(samples) > 0:
                stretch = stretch or _Stretch(0, None, 0, SAMPLE_RATE, samples.shape[1])
                stretch.fill(start, samples)
                if start + len(samples) < stretch.start + SAMPLE_RATE:
                    break
                yield stretch.mono()
                place, begin = stretch.place + 1, stretch.start + SAMPLE_RATE
                stretch = _Stretch(place, None, begin, SAMPLE_RATE, samples.shape[1])
        if stretch is not None and stretch.reached:
            whole = stretch.mono()
            yield whole._replace(samples=whole.samples[: stretch.reached])

    def _segments(self, begin: float | None) -> Iterator[tuple[float, Float32[np.ndarray, "n C"]]]:
        """Resampled pieces with the time of their first sample, all or from before `begin` on.

        Within a run of frames the samples follow each other, ignoring small jitter of the time
        stamps; a jump of more than `_JITTER`, or another format, starts a new run.

        Raises:
          Damage: where the time stamps jump by more than `LONGEST_GAP`.
        """
        resampler, form = None, None
        run_start, read, written = 0.0, 0.0, 0
        if begin is None:
            frames = decode(self._container, self._stream)
        else:
            frames = frames_from(self._container, self._stream, begin)
        for frame in frames:
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            heard = sound_of(frame, self._container.name)
            if now != form or abs(frame.time - (run_start + read)) > _JITTER:
                for samples in _resample(resampler, None):
                    yield run_start + written / SAMPLE_RATE, samples
                    written += len(samples)
                if frame.time - self.end > LONGEST_GAP:
                    raise Damage(self.end)
                resampler = Resampler(frame.sample_rate, heard.shape[1])
                form, run_start, read, written = now, frame.time, 0.0, 0
            read += frame.samples / frame.sample_rate
            self.end = run_start + read
            for samples in _resample(resampler, heard):
                yield run_start + written / SAMPLE_RATE, samples
                written += len(samples)
        for samples in _resample(resampler, None):
            yield run_start + written / SAMPLE_RATE, samples
            written += len(samples)


class _Stretch:
    """Sound being collected, from sample `start` on; `reached` samples of it are known."""

    def __init__(self, place: int, want: Want | None, start: int, length: int, channels: int):
        self.place, self.want, self.start, self.reached = place, want, start, 0
        self.wave = np.zeros((length, channels), np.float32)

    def fill(self, start: int, samples: Float32[np.ndarray, "n C"]) -> None:
        """Takes its part of the samples from `start` on."""
        if samples.shape[1] != self.wave.shape[1]:  # the track changed within the stretch
            samples = samples.mean(axis=1, keepdims=True)
        begin = max(start, self.start)
        end = min(start + len(samples), self.start + len(self.wave))
        if begin < end:
            self.wave[begin - self.start : end - self.start] = samples[begin - start : end - start]
            self.reached = max(self.reached, end - self.start)

    def mono(self) -> Mono:
        """All of it."""
        return to_mono(self.wave.T)


def _resample(
    resampler: Resampler | None, samples: Float32[np.ndarray, "n C"] | None
) -> Iterator[Float32[np.ndarray, "m C"]]:
    """Output of the resampler after `samples`; None flushes it."""
    if resampler is None:
        return
    piece = resampler.rest() if samples is None else resampler.take(samples)
    if len(piece):
        yield piece


def sound_of(frame: av.AudioFrame, path: str | Path) -> Float32[np.ndarray, "n C"]:
    """The samples of a frame of the file.

    Raises:
      VideoError: they are no sound, or have a rate that no sound has.
    """
    try:
        rate(frame.sample_rate)
        return samples_of(frame)
    except ValueError as fault:
        raise VideoError(f"{path}: {fault}") from fault


def decode(container, stream) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Frames that carry a time, in order.

    Raises:
      Damage: at the first fault after a good frame. Faults before it are skipped: recordings
        often start in the middle of a frame.
    """
    time = None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except FFmpegError as fault:
            if time is None and not isinstance(fault, av.error.EOFError):
                continue
            raise Damage(time or 0.0) from fault
        for frame in frames:
            if frame.time is not None:
                time = frame.time
                yield frame


def frames_from(container, stream, time: float) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Frames from shortly before `time` of the file's clock; all of them if it cannot seek."""
    if any(name in _SEEKABLE for name in container.format.name.split(",")):
        container.seek(round((time - _SEEK_MARGIN) / stream.time_base), stream=stream)
        frames = decode(container, stream)
        first = next(frames, None)
        if first is not None and first.time <= time:
            return chain([first], frames)
    container.seek(stream.start_time or 0, stream=stream)
    return decode(container, stream)


def check_sides(width: int, height: int, path: str | Path) -> None:
    """Raises VideoError if pictures are larger than those that are read, or lines."""
    try:
        check_size(width, height)
    except ValueError as fault:
        raise VideoError(f"{path}: {fault}") from fault


def scaled_down(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """Width and height with the shorter side at most `max_side`, in proportion."""
    scale = 1.0 if max_side is None else min(1.0, max_side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
