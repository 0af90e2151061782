"""Video files, or pictures with a sound, to clips: frames by time stamp, sound as mono 16 kHz.

Time is counted from the start of the file, as players do: second `s` of a video is `[s, s + 1)`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.error import FFmpegError
from jaxtyping import Int16, UInt8

from avloc.data_pipelines.collection import IMAGE_ENDINGS
from avloc.data_pipelines.media.opening import (
    VideoError,
    clock_start,
    last_time,
    open_file,
    picture_stream,
    stated_length,
)
from avloc.data_pipelines.media.tracks import (
    END_SLACK,
    SEEK_GAP,
    START_SLACK,
    Damage,
    Pictures,
    Sound,
    Still,
    Want,
    check_sides,
    decode,
)
from avloc.data_pipelines.media.waveform import Mono

__all__ = [
    "END_SLACK",
    "Clip",
    "VideoError",
    "VideoInfo",
    "cut",
    "cut_at",
    "probe",
    "sound_of_video",
]

FRAMES_PER_CLIP = 4
"""Frames kept from each clip of a video that is cut into clips."""

QUARTERS = tuple((place + 0.5) / FRAMES_PER_CLIP for place in range(FRAMES_PER_CLIP))
"""Where they lie, as shares of the clip: in the middles of its four quarters."""

CUT_SLACK = 2.0
"""A track that ends this many seconds before the container's stated end was cut off."""


class Clip(NamedTuple):
    """A stretch of a video.

    Attributes:
      place: index among the wanted clips.
      frames: RGB, turned upright, in order of time; one if the video is a picture.
      waveform: mono, `SAMPLE_RATE` Hz.
      late: how many seconds each frame is later than requested.
      one_channel: whether the sound's channels cancel each other, so that one stands for all.
    """

    place: int
    frames: UInt8[np.ndarray, "n H W 3"]
    waveform: Int16[np.ndarray, " T"]
    late: Sequence[float] = ()
    one_channel: bool = False


class VideoInfo(NamedTuple):
    """What the header of a video file says.

    Attributes:
      duration: in seconds, None if the file does not say. It can be wrong.
      rate: frames a second on average, None if the file does not say.
      width: of the upright picture, in pixels.
      height: of the upright picture, in pixels.
      rotation: by which the coded picture is turned to stand upright, in degrees
        counterclockwise.
      has_audio: whether there is a sound track.
      start: where the file starts on its own clock, in seconds.
    """

    duration: float | None
    rate: Fraction | None
    width: int
    height: int
    rotation: int
    has_audio: bool
    start: float = 0.0


def probe(path: str | Path) -> VideoInfo:
    """Reads the header and the first picture.

    Raises:
      VideoError: not a video, or no picture track.
    """
    with open_file(path) as container:
        stream = picture_stream(container, path)
        try:
            frame = next(decode(container, stream), None)
        except Damage as fault:
            raise VideoError(f"{path}: damaged at second 0") from fault
        if frame is None:
            raise VideoError(f"{path}: no picture can be decoded")
        check_sides(frame.width, frame.height, path)
        turned = frame.rotation % 180 != 0
        return VideoInfo(
            duration=stated_length(container),
            rate=stream.average_rate,
            width=frame.height if turned else frame.width,
            height=frame.width if turned else frame.height,
            rotation=frame.rotation,
            has_audio=bool(container.streams.audio),
            start=clock_start(container, frame.time),
        )


def cut(
    path: str | Path,
    max_side: int | None = None,
    *,
    seconds: int = 1,
    start: float = 0.0,
    length: float | None = None,
    sound: str | Path | None = None,
    shares: Sequence[float] = QUARTERS,
) -> Iterator[Clip]:
    """Cuts a video into clips that do not overlap, as a stream of bounded memory.

    Clip i is `[start + i seconds, start + (i + 1) seconds)`. It is given if pictures and sound
    both cover all of it. Its frames are the decoded ones nearest to the middles of its
    four quarters (or where `shares` says), whatever the frame rate. Gaps inside the sound are
    zeros; a clip without any sound data is left out. Frames are turned as the file's display
    matrix says (quarter turns; mirroring is not undone).

    A damaged video gives the whole clips before the damage, then raises. Damage that a decoder
    conceals silently (some in VP8 and MPEG-4) is not noticed.

    Args:
      path: of any file that PyAV reads, or a picture.
      max_side: frames whose shorter side is longer than this are scaled down to it.
      seconds: length of a clip.
      start: of the first clip.
      length: in seconds, of the part that is cut; None: to the end.
      sound: separate file of the sound, if any; it begins with the pictures.
      shares: where in a clip its frames lie, ascending, in 0..1.

    Raises:
      VideoError: not a video, no sound or picture track, no whole clip in it, or damaged.
    """
    after = start  # the end of the last clip given
    with _tracks(path, sound, max_side) as (pictures, wave):
        with _told(path, lambda time: max(after, time - (pictures.origin or 0.0))):
            wants = _end_to_end(start, seconds, length, shares)
            for clip in _clips(pictures, wave, wants, seconds, start):
                yield clip
                after = start + (clip.place + 1) * seconds
        end = max(pictures.end - pictures.origin, wave.end - wave.origin)
        if after == start:
            unit = "second" if seconds == 1 else f"clip of {seconds} s"
            if start and end - start < seconds * (1 - END_SLACK):
                raise VideoError(f"{path}: ends at {end:.2f} s, no whole {unit} after {start:g} s")
            if end < seconds * (1 - END_SLACK):
                raise VideoError(f"{path}: shorter than a {unit} ({max(end, 0.0):.2f} s)")
            raise VideoError(f"{path}: no whole {unit} in which pictures and sound both run")
        duration = stated_length(pictures.container) if length is None else None
        if duration is not None and duration - end > CUT_SLACK:
            missing = clock_start(pictures.container) + duration - last_time(path)
            if missing > CUT_SLACK:
                raise VideoError(
                    f"{path}: damaged at second {int(after)}, the last {missing:.0f} s are missing"
                )


def cut_at(
    path: str | Path,
    moments: Sequence[tuple[float, float]],
    max_side: int | None = None,
    *,
    seconds: int = 1,
    sound: str | Path | None = None,
) -> Iterator[Clip]:
    """Cuts chosen clips of one frame out of a video, in order of time.

    Long unwanted stretches are skipped. A moment is left out if its time is after the end of the
    pictures, or the sound does not fill its clip.

    Args:
      path: as in `cut`.
      moments: of each wanted clip, where its sound begins and where its frame lies, in seconds.
      max_side: as in `cut`.
      seconds: length of a clip.
      sound: as in `cut`.

    Raises:
      VideoError: not a video, no sound or picture track, or damaged, after the clips before the
        damage.
    """
    wants = [Want(start, (time,), time + START_SLACK, time - END_SLACK) for start, time in moments]
    for run in _runs(wants, seconds):
        with _tracks(path, sound, max_side) as (pictures, wave):
            chosen = [wants[place] for place in run]
            begin = min(want.begin for want in chosen)
            with _told(path, lambda time, of=pictures: time - (of.origin or 0.0)):
                for clip in _clips(pictures, wave, chosen, seconds, begin):
                    yield clip._replace(place=run[clip.place])


def sound_of_video(path: str | Path) -> Iterator[Mono]:
    """The sound of a video from its start to its end, second by second, mono, at `SAMPLE_RATE`.

    Where samples are missing there is silence; the last piece may be shorter than a second.

    Raises:
      VideoError: not a video, no sound track, or damaged, after the seconds before the damage.
    """
    start = probe(path).start
    with open_file(path) as container, _told(path, lambda time: time - start):
        if not container.streams.audio:
            raise VideoError(f"{path}: no sound track")
        yield from Sound(container, container.streams.audio[0], apart=False).seconds(start)


@contextlib.contextmanager
def _told(path: str | Path, second: Callable[[float], float]) -> Iterator[None]:
    """Turns what a file does to its reader into one sentence.

    Args:
      path: of the file.
      second: of a time on the file's clock.
    """
    try:
        yield
    except VideoError:
        raise
    except Damage as fault:
        raise VideoError(f"{path}: damaged at second {int(second(fault.time))}") from fault
    except (FFmpegError, ValueError, ArithmeticError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise VideoError(f"{path}: cannot be decoded ({why})") from fault


def _end_to_end(
    start: float, seconds: int, length: float | None, shares: Sequence[float]
) -> Iterator[Want]:
    """Consecutive clips, endless if no length is given."""
    slack = END_SLACK * seconds
    for place in count():
        if length is not None and (place + 1) * seconds > length + slack:
            return
        begin = start + place * seconds
        times = tuple(begin + seconds * share for share in shares)
        yield Want(begin, times, begin + max(slack, START_SLACK), begin + seconds - slack)


def _runs(wants: Sequence[Want], seconds: int) -> Iterator[list[int]]:
    """Indices of wants in ascending runs without long gaps, each to be read in one pass."""
    run: list[int] = []
    for place in sorted(range(len(wants)), key=lambda place: wants[place]):
        want, last = wants[place], wants[run[-1]] if run else None
        if last is not None and (
            want.times < last.times
            or want.begin - max(last.start + seconds, last.times[-1]) > SEEK_GAP
        ):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


@contextlib.contextmanager
def _tracks(
    path: str | Path, sound: str | Path | None, max_side: int | None
) -> Iterator[tuple[Pictures | Still, Sound]]:
    """Both tracks, each read through its own container.

    So neither has to be held in memory while the other catches up, however a file is interleaved.
    """
    with contextlib.ExitStack() as stack:
        if Path(path).suffix.lower()[1:] in IMAGE_ENDINGS:
            pictures: Pictures | Still = Still(path, max_side)
        else:
            video = stack.enter_context(open_file(path))
            pictures = Pictures(video, picture_stream(video, path), max_side)
        audio = stack.enter_context(open_file(sound or path))
        if not audio.streams.audio:
            raise VideoError(f"{sound or path}: no sound track")
        yield pictures, Sound(audio, audio.streams.audio[0], apart=sound is not None)


def _clips(
    pictures: Pictures | Still, sound: Sound, wants: Iterable[Want], seconds: int, begin: float
) -> Iterator[Clip]:
    """Clips of the wants that pictures and sound both have, in order.

    Args:
      pictures: not yet read.
      sound: not yet read.
      wants: ascending.
      seconds: length of a clip.
      begin: nothing before it is wanted.
    """
    pictures.start(begin)
    waves = {}

    def heard() -> Iterator[tuple[int, Want]]:
        """The wants that have sound. There are endless times, but only so much sound."""
        found = sound.wanted(wants, seconds, begin=begin, pictures=pictures.origin)
        for place, want, waves[place] in found:
            yield place, want
            waves.clear()

    for place, frames, late in pictures.wanted(heard()):
        wave = waves[place]
        yield Clip(place, frames, wave.samples, late, wave.one_channel)
