"""Opens files of video and sound, and reads what they say of their own clock.

FFmpeg knows hundreds of formats. Some are lists of other files or of network addresses, so only
containers that hold their own content are opened, whatever a file is called.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.error import FFmpegError

CONTAINERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,mpegvideo,mxf,ogg,"
    "w64,wav,webm"
)
"""FFmpeg's names of the formats that are opened; `mov` is mp4 too."""

_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}

_ENDS_STATED = frozenset({"matroska", "asf"})
"""Formats whose header states when the file ends on its own clock, where others state a length."""


class VideoError(ValueError):
    """A file that cannot be used in full. The sentence names the file and the fault."""


def open_file(path: str | Path):
    """The opened file, as a context.

    Raises:
      VideoError: it cannot be opened.
    """
    # From the root on, no name is taken for an address, such as `http:x.mp4`.
    name = str(Path(path).absolute()) if ":" in str(path) else str(path)
    try:  # tags are often not UTF-8
        return av.open(name, metadata_errors="replace", options=_OPTIONS)
    except FileNotFoundError as fault:
        raise VideoError(f"{path}: no such file") from fault
    except av.error.ArgumentError as fault:  # so a format outside of `CONTAINERS` is answered
        raise VideoError(
            f"{path}: not a video that can be read (a format that avloc does not open)"
        ) from fault
    except (FFmpegError, OSError) as fault:
        raise VideoError(f"{path}: not a video that can be read ({fault.strerror})") from fault


def picture_stream(container, path: str | Path):
    """The first moving picture track; a cover image does not count.

    Raises:
      VideoError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise VideoError(f"{path}: no picture track")


def clock_start(container, first: float | None = None) -> float:
    """Where a file begins on its own clock, in seconds: what players call 0.

    The earlier of both tracks, or 0 if only the run-up of the sound's decoder lies before it. A
    file that FFmpeg cut without decoding keeps the wanted start there, however much later its
    first picture is.

    Args:
      container: the opened file.
      first: time of its first picture, if known.
    """
    start = container.start_time
    begin = first if start is None else start / av.time_base
    if begin is None:
        return 0.0
    return max(begin, min(0.0 if first is None else first, 0.0))


def stated_length(container) -> float | None:
    """Seconds from the start of a file to its end, as its header says; None if it does not.

    It can be wrong, so nothing may be sized by it.
    """
    if container is None or container.duration is None:
        return None
    length = container.duration / av.time_base
    if _ENDS_STATED & set(container.format.name.split(",")):
        length -= max(0.0, (container.start_time or 0) / av.time_base)
    return length if length > 0 else None


def real_length(path: str | Path) -> float:
    """Seconds from the start of a file to the end of its last packet, whatever its header says.

    Raises:
      VideoError: it cannot be opened.
    """
    with open_file(path) as container:
        begin = clock_start(container)
        return max(0.0, _last_time(container) - begin)


def last_time(path: str | Path) -> float:
    """Time up to which the file holds packets, in seconds of its own clock."""
    with open_file(path) as container:
        return _last_time(container)


def _last_time(container) -> float:
    last = 0.0
    tracks = [*container.streams.video[:1], *container.streams.audio[:1]]
    try:
        for packet in container.demux(tracks):
            if packet.pts is not None and not packet.is_discard:
                end = packet.pts + (packet.duration or 0)
                last = max(last, float(end * packet.time_base))
    except FFmpegError:  # what cannot be read counts as absent
        pass
    return last
