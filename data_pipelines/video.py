"""Video files to one-second clips: frames by time stamp, sound as mono 16 kHz.

Time is counted from the first picture: second `s` of a video is `[s, s + 1)` after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Int16, UInt8

from data_pipelines.features import SAMPLE_RATE

FRAMES_PER_SECOND = 4
"""Frames kept of each second."""

END_SLACK = 0.05
"""A track that ends (or begins) by so many seconds too early (or late) still fills the second."""

CUT_SLACK = 2.0
"""Tracks that end so many seconds before the container says were cut off."""


class VideoError(ValueError):
    """A file that cannot be used, or not to its end. The sentence names the file and the fault."""


class Clip(NamedTuple):
    """One second of a video.

    Attributes:
      second: which one, counted from the first picture.
      frames: RGB, turned upright, in order of time; the middle of each quarter of the second.
      waveform: mono, `SAMPLE_RATE` Hz.
    """

    second: int
    frames: UInt8[np.ndarray, "4 H W 3"]
    waveform: Int16[np.ndarray, " 16000"]


class VideoInfo(NamedTuple):
    """What a video file says of itself.

    Attributes:
      duration: in seconds, None where the file does not say.
      rate: frames a second on average, None where the file does not say.
      width: of the upright picture, in pixels.
      height: of the upright picture, in pixels.
      has_audio: whether there is a sound track.
    """

    duration: float | None
    rate: Fraction | None
    width: int
    height: int
    has_audio: bool


class _Damage(Exception):
    """The track cannot be read past `time` seconds of the file's own clock."""

    def __init__(self, time: float):
        super().__init__(time)
        self.time = time


def probe(path: str | Path) -> VideoInfo:
    """Reads the header and the first picture.

    Raises:
      VideoError: not a video, or no picture track.
    """
    with _open(path) as container:
        stream = _picture_stream(container, path)
        try:
            frame = next(_decode(container, stream), None)
        except _Damage as fault:
            raise VideoError(f"{path}: damaged at second 0") from fault
        if frame is None:
            raise VideoError(f"{path}: no picture can be decoded")
        turned = frame.rotation % 180 != 0
        return VideoInfo(
            duration=_duration(container),
            rate=stream.average_rate,
            width=frame.height if turned else frame.width,
            height=frame.width if turned else frame.height,
            has_audio=bool(container.streams.audio),
        )


def cut(path: str | Path, max_side: int | None = None) -> Iterator[Clip]:
    """Cuts a video into one-second clips that do not overlap, as a stream of bounded memory.

    A second is given where pictures and sound both run through the whole of it. Its frames are
    the decoded ones nearest to the times `second + (i + 0.5) / 4`, whatever the frame rate. Gaps
    inside the sound are zeros; a second without any sound data is left out. Frames are turned as
    the file's display matrix says (quarter turns; mirroring is not undone).

    A damaged video gives the whole seconds before the damage, then raises. Damage that a decoder
    conceals without a word (some in VP8 and MPEG-4) is not noticed.

    Args:
      path: of any file that PyAV reads.
      max_side: frames whose shorter side is longer than this are scaled down to it.

    Raises:
      VideoError: not a video, no sound or picture track, shorter than a second, or damaged.
    """
    # Each track is read through a container of its own: however a file is interleaved, neither
    # track has to be held in memory while the other catches up.
    with _open(path) as video, _open(path) as audio:
        picture_stream = _picture_stream(video, path)
        if not audio.streams.audio:
            raise VideoError(f"{path}: no sound track")
        sound_stream = audio.streams.audio[0]
        pictures = _Pictures(video, picture_stream, max_side)
        sound = _Sound(audio, sound_stream)
        after = 0  # the second after the last one given
        try:
            pictures.start()
            for clip in _join(pictures.seconds(), sound.seconds(pictures.origin)):
                yield clip
                after = clip.second + 1
        except _Damage as fault:
            second = max(after, int(fault.time - (pictures.origin or 0.0)))
            raise VideoError(f"{path}: damaged at second {second}") from fault
        except FFmpegError as fault:
            raise VideoError(f"{path}: cannot be decoded ({fault.strerror})") from fault
        length = max(pictures.end, sound.end) - pictures.origin
        if not after and length < 1 - END_SLACK:
            raise VideoError(f"{path}: shorter than a second ({max(length, 0.0):.2f} s)")
        if not after:
            raise VideoError(f"{path}: no whole second in which pictures and sound both run")
        duration = _duration(video)
        if duration is not None and duration - length > CUT_SLACK:
            missing = (video.start_time or 0) / av.time_base + duration - _last_time(path)
            if missing > CUT_SLACK:
                raise VideoError(
                    f"{path}: damaged at second {after}, the last {missing:.0f} s are missing"
                )


def _join(
    pictures: Iterator[tuple[int, np.ndarray]], sound: Iterator[tuple[int, np.ndarray]]
) -> Iterator[Clip]:
    """Clips of the seconds that both have, each in order of time."""
    picture, wave = next(pictures, None), next(sound, None)
    while picture is not None and wave is not None:
        second = picture[0]
        if second == wave[0]:
            yield Clip(second, picture[1], wave[1])
        if second <= wave[0]:
            picture = next(pictures, None)
        if second >= wave[0]:
            wave = next(sound, None)


class _Pictures:
    """The picture track, four frames a second."""

    def __init__(self, container, stream, max_side: int | None):
        self._frames = _decode(container, stream)
        self._max_side = max_side
        self._size: tuple[int, int] | None = None
        self._first: av.VideoFrame | None = None
        self.origin: float | None = None
        self.end = -np.inf  # known once the last frame is decoded

    def start(self) -> None:
        """Decodes the first picture, whose time is the origin."""
        self._first = next(self._frames, None)
        if self._first is None:
            raise _Damage(0.0)
        self.origin = self._first.time

    def seconds(self) -> Iterator[tuple[int, UInt8[np.ndarray, "4 H W 3"]]]:
        """Whole seconds with their frames."""
        second, chosen = 0, []
        for frame in self._nearest():
            chosen.append(frame)
            if len(chosen) < FRAMES_PER_SECOND:
                continue
            # The last frame stands for the rest of its second only while it is shown.
            if np.isfinite(self.end) and self.end < self.origin + second + 1 - END_SLACK:
                return
            yield second, np.stack(chosen)
            second, chosen = second + 1, []

    def _nearest(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The frame nearest to each target time, without end after the last frame."""
        target = self._target(index := 0)
        shown, gap = self._first, 0.0
        picture = None
        for frame in self._frames:
            if frame.time <= shown.time:
                continue
            gap = frame.time - shown.time
            while target < shown.time + gap / 2:
                if picture is None:
                    picture = self._array(shown)
                yield picture
                target = self._target(index := index + 1)
            shown, picture = frame, None
        length = float(shown.duration * shown.time_base) if shown.duration else gap
        self.end = shown.time + length
        picture = self._array(shown)
        while True:
            yield picture

    def _target(self, index: int) -> float:
        return self.origin + (index + 0.5) / FRAMES_PER_SECOND

    def _array(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
        """RGB, upright, and of the size of the first frame whatever the track does later."""
        if self._size is None:
            scale = 1.0
            if self._max_side is not None:
                scale = min(1.0, self._max_side / min(frame.width, frame.height))
            self._size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        width, height = self._size
        rgb = frame.reformat(width, height, format="rgb24", interpolation="AREA").to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


class _Sound:
    """The sound track as int16 mono, cut into seconds."""

    def __init__(self, container, stream):
        self._frames = _decode(container, stream)
        self.end = 0.0

    def seconds(self, origin: float) -> Iterator[tuple[int, Int16[np.ndarray, " 16000"]]]:
        """Whole seconds that hold some sound, silence where samples are missing."""
        slack = round(END_SLACK * SAMPLE_RATE)
        second: int | None = None
        wave, reached = np.zeros(SAMPLE_RATE, np.int16), 0
        for time, samples in self._segments():
            start = round((time - origin) * SAMPLE_RATE)
            if second is None:
                second = max(0, -((slack - start) // SAMPLE_RATE))
            while len(samples):
                offset = start - second * SAMPLE_RATE
                if offset >= SAMPLE_RATE:
                    if reached:
                        yield second, wave
                    second = start // SAMPLE_RATE
                    wave, reached = np.zeros(SAMPLE_RATE, np.int16), 0
                    continue
                if offset < 0:  # before the first picture, or said twice
                    samples, start = samples[-offset:], second * SAMPLE_RATE
                    continue
                part = samples[: SAMPLE_RATE - offset]
                wave[offset : offset + len(part)] = part
                reached = max(reached, offset + len(part))
                samples, start = samples[len(part) :], start + len(part)
        if reached >= SAMPLE_RATE - slack:
            yield second, wave

    def _segments(self) -> Iterator[tuple[float, Int16[np.ndarray, " n"]]]:
        """Resampled pieces with the time of their first sample.

        Inside a run of frames the samples follow each other without regard to small jitter of
        the time stamps; a jump of more than `END_SLACK` or another format begins a new run.
        """
        resampler, form = None, None
        run_start, read, written = 0.0, 0.0, 0
        for frame in self._frames:
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            if now != form or abs(frame.time - (run_start + read)) > END_SLACK:
                for samples in _resample(resampler, None):
                    yield run_start + written / SAMPLE_RATE, samples
                    written += len(samples)
                resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
                form, run_start, read, written = now, frame.time, 0.0, 0
            read += frame.samples / frame.sample_rate
            self.end = run_start + read
            for samples in _resample(resampler, frame):
                yield run_start + written / SAMPLE_RATE, samples
                written += len(samples)
        for samples in _resample(resampler, None):
            yield run_start + written / SAMPLE_RATE, samples
            written += len(samples)


def _resample(
    resampler: av.AudioResampler | None, frame: av.AudioFrame | None
) -> Iterator[Int16[np.ndarray, " n"]]:
    """What the resampler has ready after `frame`; None empties it."""
    if resampler is None:
        return
    for piece in resampler.resample(frame):
        if piece is not None:  # what a resampler with nothing to do answers at the end
            yield piece.to_ndarray().reshape(-1)


def _decode(container, stream) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Frames that carry a time, in order.

    Raises:
      _Damage: at the first fault after a good frame. Faults before it are the ragged beginning
        of a recording, and skipped.
    """
    stream.thread_type = "AUTO"
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
            raise _Damage(time or 0.0) from fault
        for frame in frames:
            if frame.time is not None:
                time = frame.time
                yield frame


def _open(path: str | Path):
    """The opened file, as a context."""
    try:
        return av.open(str(path))
    except FileNotFoundError as fault:
        raise VideoError(f"{path}: no such file") from fault
    except (FFmpegError, OSError) as fault:
        raise VideoError(f"{path}: not a video that can be read ({fault.strerror})") from fault


def _picture_stream(container, path: str | Path):
    """The first moving picture track; a cover image is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise VideoError(f"{path}: no picture track")


def _duration(container) -> float | None:
    """Length that the container states, in seconds."""
    return None if container.duration is None else container.duration / av.time_base


def _last_time(path: str | Path) -> float:
    """Time up to which the file holds packets, in seconds of its own clock."""
    last = 0.0
    with _open(path) as container:
        try:
            for packet in container.demux(video=0, audio=0):
                if packet.pts is not None:
                    last = max(last, float(packet.pts * packet.time_base))
        except FFmpegError:  # what cannot be read is not there
            pass
    return last
