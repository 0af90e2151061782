"""The later benchmarks: VGG-SS, VGGSound-Duet and AVE."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from avloc.data_pipelines.annotations.boxes import check_order, from_corners, has_area
from avloc.data_pipelines.annotations.reading import (
    as_kind,
    as_number,
    as_row,
    cells,
    read_json,
    read_lines,
    take,
)
from avloc.data_pipelines.collection import Box

_FILE = re.compile(r".{11}_\d{6}")


class BoxedFrame(NamedTuple):
    """The middle frame of a clip of ten seconds.

    Attributes:
      file: the clip's name, `ID_START`: YouTube id, and the start of the clip in the video, in
        seconds, as six digits.
      label: name of its category, as VGGSound spells it.
      boxes: `(ymin, xmin, ymax, xmax)` in 0..1.
    """

    file: str
    label: str
    boxes: tuple[Box, ...]


class Duet(NamedTuple):
    """Two clips whose sounds are mixed and whose frames are placed side by side.

    Attributes:
      files: names of the two, as in `BoxedFrame.file`.
      labels: their categories, words joined by `_`, without commas.
    """

    files: tuple[str, str]
    labels: tuple[str, str]


class Event(NamedTuple):
    """A part of a ten-second clip in which something is both heard and seen.

    Attributes:
      label: name of its category.
      id: YouTube id, which is also the file name of the clip.
      quality: always `good` in the published lists.
      start: seconds from the start of the clip.
      end: seconds from the start of the clip; some events end where they start.
    """

    label: str
    id: str
    quality: str
    start: float
    end: float


def read_vggss(path: Path) -> list[BoxedFrame]:
    """Entries of `vggss.json`, in order: `[{"file", "class", "bbox": [[xmin, ymin, xmax, ymax]]}]`.

    The boxes belong to the frame at five seconds (frame 125 at 25 frames a second). The published
    file has some boxes without area; they are left out, so a clip may have no box.
    """
    entries = read_json(path, list)
    places = [f"{path}, entry {number}" for number in range(len(entries))]
    rows = []
    for place, entry in zip(places, entries, strict=True):
        found = take(as_kind(entry, dict, place), "bbox", list, place)
        rows.append([as_row(row, f'{place}, "bbox"') for row in found])
    check_order([row for found in rows for row in found], "corners", path)

    frames = []
    for place, entry, found in zip(places, entries, rows, strict=True):
        boxes = tuple(filter(has_area, map(from_corners, found)))
        file = _clip_name(take(entry, "file", str, place), place)
        frames.append(BoxedFrame(file, take(entry, "class", str, place), boxes))
    return frames


def read_duets(path: Path) -> list[Duet]:
    """Rows of `vggsound_duet_test.csv`, in order: `ID_START,label,ID_START,label`, no header.

    The boxes are those that `vggss.json` has under the two names.
    """
    duets = []
    for place, line in read_lines(path):
        row = cells(line, place)
        if len(row) != 4:
            raise ValueError(f"{place}: must be ID_START,label,ID_START,label, not {line!r}")
        first, first_label, second, second_label = row
        files = _clip_name(first, place), _clip_name(second, place)
        duets.append(Duet(files, (first_label, second_label)))
    return duets


def read_events(path: Path) -> list[Event]:
    """Rows of AVE's `Annotations.txt`, `trainSet.txt`, `valSet.txt` or `testSet.txt`, in order.

    A row is `Category&VideoID&Quality&StartTime&EndTime`; a header of these words may come first.
    """
    events = []
    for place, line in read_lines(path):
        cells = line.rsplit("&", 4)
        if len(cells) != 5:
            raise ValueError(
                f"{place}: must be Category&VideoID&Quality&StartTime&EndTime, not {line!r}"
            )
        if cells[-1] != "EndTime":
            label, member, quality, *times = cells
            start, end = (as_number(time, place) for time in times)
            events.append(Event(label, member, quality, start, end))
    return events


def _clip_name(name: str, place: str) -> str:
    if not _FILE.fullmatch(name):
        raise ValueError(f"{place}: {name!r} is not a YouTube id, _ and a start of six digits")
    return name
