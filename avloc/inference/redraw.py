"""Writes a video again as mp4 with every frame redrawn, keeping times and sound."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import takewhile
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError
from jaxtyping import UInt8

from avloc.data_pipelines.media.opening import VideoError, open_file, picture_stream
from avloc.data_pipelines.media.video import probe

_COPIED = {"aac", "mp3", "ac3", "eac3", "alac"}  # what mp4 players know; other sound becomes AAC
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_JUMP = 0.05  # seconds; smaller steps in the time stamps of sound are rounding errors

Part = TypeVar("Part")
Draw = Callable[[UInt8[np.ndarray, "H W 3"], float], UInt8[np.ndarray, "H2 W2 3"]]


def redraw(
    path: str | Path,
    target: str | Path,
    draw: Draw,
    on_frame: Callable[[], object] = lambda: None,
    *,
    until: float | None = None,
    sound: str | Path | None = None,
) -> None:
    """Streams a video through `draw` into an mp4 (H.264, yuv420p) with the same times and sound.

    Sound that players expect in an mp4 is copied packet by packet, other sound becomes AAC. Frames
    are turned upright, and all get the size of the first.

    Args:
      path: a video with pictures and sound.
      target: the file to write.
      draw: takes a frame (RGB) and its time in seconds from the start of the file; its result
        must have the same, even, height and width for every frame.
      on_frame: called after each frame.
      until: how far to go, if not to the end, in seconds from the start; what is damaged there
        is passed over.
      sound: a file with the sound to take in place of the video's; it begins with the video.

    Raises:
      VideoError: the video cannot be decoded as far as that, or the mp4 not written.
    """
    # The source is opened twice, so neither track has to wait, however they are interleaved.
    start = probe(path).start
    try:
        with (
            open_file(path) as source,
            open_file(sound or path) as sound_source,
            av.open(str(target), "w", format="mp4") as out,
        ):
            pictures = _pictures(source, out, start, draw, on_frame, until)
            begin = 0.0 if sound else start
            end = None if until is None else begin + until
            heard = _sound(sound_source.streams.audio[0], sound_source, out, begin, end)
            for _, packet in heapq.merge(pictures, heard, key=itemgetter(0)):
                out.mux(packet)
    except FFmpegError as fault:
        raise VideoError(f"{path}: cannot be converted to mp4 ({fault.strerror})") from fault


def _timed(packets: list[av.Packet], time_base: Fraction) -> Iterator[tuple[float, av.Packet]]:
    for packet in packets:
        yield float(packet.dts * (packet.time_base or time_base)), packet


def _pictures(
    source,
    out,
    start: float,
    draw: Draw,
    on_frame: Callable[[], object],
    until: float | None,
) -> Iterator[tuple[float, av.Packet]]:
    """Adds the picture track to `out`; yields its packets with their times."""
    track = picture_stream(source, source.name)
    track.thread_type = "AUTO"
    frames = _decode(source, track)
    first = next(frames)
    upright = _upright(first, first)
    height, width = draw(upright, 0.0).shape[:2]
    rate = track.average_rate or track.guessed_rate or Fraction(25)
    options = {"crf": "20", "preset": "veryfast"}
    stream = out.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    # Frames out of order would cost the mp4 the exact length of a video of uneven rate.
    stream.codec_context.max_b_frames = 0
    stream.codec_context.flags |= Flags.frame_duration
    base = track.time_base
    stream.time_base = stream.codec_context.time_base = base
    stream.codec_context.sample_aspect_ratio = _aspect(track, first)
    for tag in ("colorspace", "color_primaries", "color_trc"):
        setattr(stream.codec_context, tag, getattr(first, tag))
    shift = round(start / base)

    def packets() -> Iterator[tuple[float, av.Packet]]:
        last = None
        end = None if until is None else start + until
        for frame in _before(end, _chain(first, frames), lambda frame: frame.time):
            drawn = draw(_upright(frame, first), frame.time - start)
            new = av.VideoFrame.from_ndarray(np.ascontiguousarray(drawn), "rgb24")
            # Coded in the colours of the source, so that its tags stay correct.
            new = new.reformat(format="yuv420p", dst_colorspace=first.colorspace)
            new.time_base = base
            pts = frame.pts - shift
            new.pts = last = pts if last is None else max(pts, last + 1)
            new.duration = frame.duration
            yield from _timed(stream.encode(new), base)
            on_frame()
        yield from _timed(stream.encode(), base)

    return packets()


def _chain(first: av.VideoFrame, rest: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from rest


def _before(
    end: float | None, parts: Iterator[Part], time: Callable[[Part], float]
) -> Iterator[Part]:
    """Parts of a damaged video that come before its end; None: it is whole."""
    if end is None:
        yield from parts
        return
    with suppress(FFmpegError):
        yield from takewhile(lambda part: time(part) < end, parts)


def _aspect(track, first: av.VideoFrame) -> Fraction:
    """Shape of a pixel of the upright picture."""
    aspect = track.codec_context.sample_aspect_ratio or Fraction(1)
    return 1 / aspect if round(first.rotation / 90) % 2 else aspect


def _upright(frame: av.VideoFrame, first: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
    """RGB, turned as the file says, of the first frame's size."""
    rgb = frame.reformat(first.width, first.height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def _decode(container, stream) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Frames that have a time. Faults before the first are skipped: recordings start like that."""
    begun = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if begun:
                raise
            continue
        for frame in frames:
            if frame.time is not None:
                begun = True
                yield frame


def _sound(
    track, source, out, start: float, end: float | None
) -> Iterator[tuple[float, av.Packet]]:
    """Adds the sound track to `out`; yields its packets with their times."""
    context = track.codec_context
    # AAC in a transport stream has its set-up in every packet, and none for the header of an mp4.
    copied = context.name in _COPIED and (context.name != "aac" or context.extradata)
    if copied:
        return _copied(track, source, out.add_stream_from_template(track), start, end)
    rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
    layout = "mono" if context.layout.nb_channels == 1 else "stereo"  # PCM may name no layout
    stream = out.add_stream("aac", rate=rate, layout=layout)
    stream.codec_context.bit_rate = 192_000
    return _encoded(track, source, stream, start, end)


def _copied(
    track, source, stream, start: float, end: float | None
) -> Iterator[tuple[float, av.Packet]]:
    shift = round(start / track.time_base)
    # Without the empty packet at the end.
    packets = (packet for packet in source.demux(track) if packet.dts is not None)
    for packet in _before(end, packets, lambda packet: float(packet.dts * track.time_base)):
        packet.dts -= shift
        packet.pts = packet.dts if packet.pts is None else packet.pts - shift
        packet.stream = stream
        yield float(packet.dts * track.time_base), packet


def _encoded(
    track, source, stream, start: float, end: float | None
) -> Iterator[tuple[float, av.Packet]]:
    reached = None
    for frame in _before(end, _decode(source, track), lambda frame: frame.time):
        time = frame.time - start
        if reached is None or abs(time - reached) > _JUMP:
            if reached is not None and time < reached:  # said twice
                continue
            reached = time
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(reached * frame.sample_rate)
        reached += frame.samples / frame.sample_rate
        yield from _timed(stream.encode(frame), stream.codec_context.time_base)
    yield from _timed(stream.encode(), stream.codec_context.time_base)
