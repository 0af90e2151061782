"""Parts of YouTube videos, in whichever form a user has them.

People keep `ID_000030.mp4`, `ID_30_40.mp4` or `ID_30.000_40.000.mp4` (a clip already cut, named by
its start), or `ID.mp4` or `Title [ID].mp4`, which may be the clip or the whole video.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from avloc.data_pipelines.collection import (
    PART_SLACK,
    VIDEO_ENDINGS,
    Folder,
    Moment,
    Part,
    Recording,
)
from avloc.data_pipelines.media.opening import VideoError, open_file, real_length, stated_length

_NAME = re.compile(
    r"(?P<id>[\w-]{11})(?:_(?P<start>\d+(?:\.\d+)?)(?:_\d+(?:\.\d+)?)?)?"
    r"|.* \[(?P<titled>[\w-]{11})\]"
)
_SLACK = 1.0


class Stretch(NamedTuple):
    """Where a wanted part is, as in `Recording`: its file, and seconds of that file."""

    path: Path | None
    start: float
    length: float
    part: Part | None = None

    def recording(
        self, id: str, labels: tuple[int, ...] = (), moments: tuple[Moment, ...] | None = None
    ) -> Recording:
        """What a split wants of it."""
        return Recording(id, labels, self.path, None, self.start, self.length, moments, self.part)


class YouTubeClips:
    """The videos of a folder by YouTube id."""

    def __init__(self, folder: Folder) -> None:
        self._files: dict[str, list[tuple[float | None, Path]]] = {}
        for path in folder.files:
            name = _NAME.fullmatch(path.stem)
            if name and path.suffix.lower()[1:] in VIDEO_ENDINGS:
                start = name["start"]
                self._files.setdefault(name["id"] or name["titled"], []).append(
                    (None if start is None else float(start), path)
                )

    def find(self, id: str, start: float | None = None, length: float = 10.0) -> Stretch:
        """The part of a video that begins at `start` seconds.

        A file named by that start (in seconds, or thousandths) is taken to be the part itself; one
        named by another start is not. `ID.mp4` and `ID_0_1000.mp4` are the whole video if they are
        longer than the part and the part lies in them; else `ID.mp4` is taken to be the part. If
        no start is known, any file of that id is. What is taken to be the part is not opened here:
        its length tells, once it is read, whether it begins where it should (`Part.early`).

        Args:
          id: of the video.
          start: in seconds of the video on YouTube; None: not known.
          length: in seconds.
        """
        files = self._files.get(id, [])
        if start is None:
            return Stretch(files[0][1] if files else None, 0.0, length, Part(length))
        part = Part(length, start)
        for named, path in files:
            if named in (int(start), start, 1000 * start):
                return Stretch(path, 0.0, length, part)
        for named, path in files:
            if named:  # another part
                continue
            seconds = _seconds(path)
            if seconds > length + _SLACK and start + length <= seconds + _SLACK + PART_SLACK:
                return Stretch(path, start, length)
            if named is None:
                return Stretch(path, 0.0, length, part)
        return Stretch(None, 0.0, length)


def _seconds(path: Path) -> float:
    """Length of a file; 0 if it cannot be read."""
    try:
        with open_file(path) as container:
            stated = stated_length(container)
        return real_length(path) if stated is None else stated
    except VideoError:  # reported when it is built
        return 0.0
