"""What a data set wants from a user's folder, and which of it was found.

Annotation files and lists are read into a `Collection` (`avloc.data_pipelines.annotations`, and the
data set's own module); building, checking and previewing start from it, and no other code knows
the authors' formats.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

Box = tuple[float, float, float, float]
"""`(ymin, xmin, ymax, xmax)` in 0..1 of the upright frame."""

VIDEO_ENDINGS = frozenset(
    "3g2 3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv".split()  # noqa: SIM905
)
IMAGE_ENDINGS = frozenset(["jpg", "jpeg", "png", "webp"])
SOUND_ENDINGS = frozenset(["wav", "flac", "mp3", "m4a", "ogg", "opus"])


class Object(NamedTuple):
    """An annotated object, or a sound whose position is not known.

    Attributes:
      box: its position; None if not known.
      label: index of its category in `Collection.classes`, -1 where not known.
      sounding: whether it is heard.
    """

    box: Box | None
    label: int
    sounding: bool = True


class Offscreen(Object):
    """A sound whose object is not in the picture; its box is None."""


LENGTH_SLACK = 1.0
"""Seconds by which a file may differ from its listed length; cutting is not exact."""

PART_SLACK = 0.25
"""A part that was cut out may be this many seconds longer than wanted; one frame, one packet."""


class Part(NamedTuple):
    """What a file is taken to be by its name: a part that was cut out of a longer video.

    Attributes:
      seconds: how long it should be.
      before: seconds of the longer video that lie before it.
    """

    seconds: float
    before: float = math.inf

    def early(self, length: float | None) -> float:
        """How many seconds before the part a file of that length begins, at most.

        Cut without decoding, a file begins at the key frame before the wanted start, and in most
        formats its length is the only trace of that. 0: it begins where it should.
        """
        extra = 0.0 if length is None else min(length - self.seconds, self.before)
        return extra if extra > PART_SLACK else 0.0

    def unsure(self, length: float | None, clip_seconds: int) -> int:
        """How many of the first whole clips may lie before the part, if the file has that length.

        The others lie in it wherever it begins, but for `PART_SLACK`. An annotated moment of the
        part is sure only if this is 0.
        """
        early = self.early(length)
        return math.ceil((early - PART_SLACK) / clip_seconds) if early else 0


class Moment(NamedTuple):
    """An annotated frame, and the clip of sound around it: one record.

    Attributes:
      name: its key in the annotation file.
      start: where the clip begins, in seconds from the start of the file.
      time: of the frame, in seconds from the start of the file.
      objects: what is annotated; empty if the authors found nothing to box.
    """

    name: str
    start: float
    time: float
    objects: tuple[Object, ...]


class Recording(NamedTuple):
    """A video, or a picture with its sound, that a split wants.

    Attributes:
      id: name by which the authors' files know it, usually a YouTube id. Intervals are
        bootstrapped over these.
      labels: categories known to sound throughout it; empty if not known.
      path: file of the video or picture; None: missing from the folder.
      sound: file of the sound if it is separate from the pictures; always set for a still picture.
      start: where the wanted part begins, in seconds from the start of the file.
      length: of that part, in seconds; None: to the end.
      moments: annotated frames; None: not annotated, every whole clip of the part is wanted.
      part: what the file is taken to be, if not a whole video.
    """

    id: str
    labels: tuple[int, ...] = ()
    path: Path | None = None
    sound: Path | None = None
    start: float = 0.0
    length: float | None = None
    moments: tuple[Moment, ...] | None = None
    part: Part | None = None

    @property
    def still(self) -> bool:
        """Whether it is a picture with a sound."""
        return self.path is not None and self.path.suffix.lower()[1:] in IMAGE_ENDINGS


@dataclass(frozen=True)
class Collection:
    """What the splits of a data set are made from.

    Attributes:
      classes: names of the categories; empty where the set has none.
      splits: recordings of each split, in a fixed order, those that are missing included.
      clip_seconds: length of a clip.
      notes: sentences that a reader should know: ids in two splits, and which split kept them;
        ids without a known category.
      annotations: the files that were read.
      without: where the splits depend on which files can be used: the collection without some
        files, each given with what is wrong with it.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Recording, ...]]
    clip_seconds: int = 1
    notes: tuple[str, ...] = ()
    annotations: tuple[Path, ...] = field(default=())
    without: Callable[[Mapping[Path, str]], Collection] | None = field(default=None, compare=False)

    def fingerprint(self) -> str:
        """Changes whenever a file of a recording, or what is wanted from one, changes."""
        states = [digest(repr((self.classes, self.clip_seconds)))]
        for name, recordings in self.splits.items():
            states.append(name)
            for recording in recordings:
                files = [file_state(path) for path in (recording.path, recording.sound) if path]
                stated = repr(recording).replace(", part=None)", ")")  # as before `part` was
                states.append(digest(f"({stated}, {files!r})"))
        return digest(" ".join(states))


class Folder:
    """A user's folder, walked once; hidden files and broken links are skipped.

    Files are found by name anywhere below the folder, so a user need not follow one layout.

    Raises:
      ValueError: there is no such folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().resolve()
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: no such folder; --source takes a folder")
        self.files = sorted(files_below(self.root))
        self._by_stem: dict[str, list[Path]] = {}
        for path in self.files:
            for stem in {path.stem, youtube_id(path.name)}:
                self._by_stem.setdefault(stem, []).append(path)

    def find(self, stem: str, endings: frozenset[str] = VIDEO_ENDINGS) -> Path | None:
        """The file of that name, ignoring extension and `_0_1000`; of several the first by path."""
        found = [p for p in self._by_stem.get(stem, ()) if p.suffix.lower()[1:] in endings]
        return found[0] if found else None

    def annotation(self, name: str, *, of: str) -> Path:
        """The annotation file of that name.

        Args:
          name: such as `solotest.json`.
          of: who publishes it, for the message.

        Raises:
          ValueError: it was not found, or found twice.
        """
        found = [path for path in self.files if path.name == name]
        if not found:
            raise ValueError(f"{self.root}: {name} is not in this folder; get it from {of}")
        if len(found) > 1:
            raise ValueError(f"{self.root}: two files are called {name} ({found[0]}, {found[1]})")
        return found[0]


def files_below(root: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders, each folder once, without hidden ones."""
    walked: set[str] = set()  # a link may lead back up
    for folder, subfolders, names in os.walk(root, followlinks=True):
        if (place := os.path.realpath(folder)) in walked:
            subfolders.clear()
            continue
        walked.add(place)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file())


def file_state(path: Path) -> str:
    """The file's path, size and modification time."""
    stat = path.stat()
    return f"{path!r} {stat.st_size} {stat.st_mtime_ns}"


def digest(text: str) -> str:
    """A short hash of a text, the same on every machine."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:24]


def youtube_id(name: str) -> str:
    """The id in a name: `2gk-IN35s5I_0_1000.mp4` and `Title [2gk-IN35s5I].mp4`: `2gk-IN35s5I`."""
    stem = Path(name).stem
    if titled := re.search(r" \[([\w-]{11})\]$", stem):  # as yt-dlp names files
        return titled[1]
    return re.sub(r"(?<=^.{11})_\d+_\d+$", "", stem)
