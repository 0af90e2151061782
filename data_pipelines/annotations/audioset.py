"""AudioSet-instrument: the authors' two box files, and AudioSet's own list of segments.

Both box files hold the same frames under different names, and neither is complete alone:

- `audioset_box.json` names its frames `ID/SECOND`, but its category numbers are its own: 6 is
  piano, and so on to 12, horn; the oboe is missing, and 10 is trumpet or flute.
- `multi_source_coco.json` names the categories, but numbers the frames: ten times the index of the
  video among the sorted ids, plus the second.

Each of the 7,403 boxes of the first file is, to the last digit, at the same frame of the second,
which has 635 more. The authors say that they removed silent objects after detection: the 635 are
probably those.

SECOND counts within AudioSet's ten-second segment, not within the YouTube video: it runs from 0 to
9, each in about a tenth of the frames. Which frame of the second was annotated is not recorded.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from avloc.data_pipelines.annotations.boxes import Row, check_order, from_xywh
from avloc.data_pipelines.annotations.reading import (
    as_kind,
    as_number,
    as_row,
    as_whole,
    read_json,
    take,
)
from avloc.data_pipelines.collection import Box, Object

_KEY = re.compile(r"(?P<id>.{11})/(?P<second>\d)")


class Segment(NamedTuple):
    """A row of AudioSet's list: seconds in the YouTube video, and codes such as `/m/042v_gx`."""

    start: float
    end: float
    labels: tuple[str, ...]


def read_categories(path: Path) -> tuple[str, ...]:
    """Names of the categories of `multi_source_coco.json`, in the order of their ids."""
    names = {}
    for category in take(read_json(path, dict), "categories", list, str(path)):
        fields = as_kind(category, dict, f"{path}, categories")
        number = as_whole(fields.get("id"), f'{path}, categories, "id"')
        names[number] = take(fields, "name", str, f"{path}, category {number}")
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"{path}: category ids must count up from 0, not {sorted(names)}")
    return tuple(names[number] for number in range(len(names)))


def read_coco(path: Path) -> dict[int, tuple[Object, ...]]:
    """Objects of each frame of `multi_source_coco.json` by its number, frames without any included.

    Labels are indices into `read_categories`.
    """
    content = read_json(path, dict)
    count = len(read_categories(path))
    found: dict[int, list[tuple[int, Row]]] = {}
    for image in take(content, "images", list, str(path)):
        fields = as_kind(image, dict, f"{path}, images")
        found[as_whole(fields.get("id"), f'{path}, images, "id"')] = []
    for number, annotation in enumerate(take(content, "annotations", list, str(path))):
        place = f"{path}, annotations[{number}]"
        fields = as_kind(annotation, dict, place)
        image = as_whole(fields.get("image_id"), f'{place}, "image_id"')
        category = as_whole(fields.get("category_id"), f'{place}, "category_id"')
        if image not in found:
            raise ValueError(f"{place}: there is no image {image}")
        if not 0 <= category < count:
            raise ValueError(f"{place}: category {category} is unknown; there are {count}")
        found[image].append((category, _row(fields, "bbox", place)))
    check_order([row for rows in found.values() for _, row in rows], "xywh", path)
    return {
        image: tuple(Object(from_xywh(row), category) for category, row in rows)
        for image, rows in found.items()
    }


def read_boxes(path: Path) -> dict[str, dict[int, tuple[Box, ...]]]:
    """Boxes of `audioset_box.json` by YouTube id and second; seconds without a box included.

    Categories come from `read_coco`, because this file does not distinguish all of them.
    """
    rows = {}
    for key, entry in read_json(path, dict).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{path}: the key {key!r} is not ID/SECOND, a second of ten")
        place = f"{path}, {key}"
        found = take(as_kind(entry, dict, place), "bbox", list, place)
        rows[match["id"], int(match["second"])] = [_row(box, "normbox", place) for box in found]
    check_order([row for found in rows.values() for row in found], "xywh", path)
    boxes: dict[str, dict[int, tuple[Box, ...]]] = {}
    for (video, second), found in sorted(rows.items()):
        boxes.setdefault(video, {})[second] = tuple(map(from_xywh, found))
    return boxes


def read_segments(path: Path, labels: Container[str] | None = None) -> dict[str, Segment]:
    """AudioSet's own list by YouTube id: rows `ID, start, end, "codes"` after comment lines.

    Args:
      path: the file; the longest has two million rows.
      labels: rows without any of these codes are left out; None keeps all rows.
    """
    segments = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(_lines(file, path), 1):
            if not line.strip() or line.startswith("#"):
                continue
            place = f"{path}, line {number}"
            try:  # parsed line by line: an unclosed quote would swallow the lines after it
                row = next(csv.reader([line], skipinitialspace=True, strict=True))
            except csv.Error:
                row = []
            if len(row) != 4:
                raise ValueError(f'{place}: must be ID, start, end, "codes", not {line.strip()!r}')
            codes = row[3].split(",")
            if labels is None or any(code in labels for code in codes):
                start, end = (as_number(cell, place) for cell in row[1:3])
                segments[row[0]] = Segment(start, end, tuple(map(sys.intern, codes)))
    return segments


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error


def _row(fields: Any, name: str, place: str) -> tuple[float, float, float, float]:
    return as_row(take(as_kind(fields, dict, place), name, list, place), f'{place}, "{name}"')
