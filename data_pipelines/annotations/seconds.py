"""Boxes of a folder's own videos, by video and second.

A list, in one `annotations.json` beside the videos:

    [{"video": "cello/a.mp4", "second": 0, "class": "cello", "bbox": [0.1, 0.2, 0.3, 0.4]}]

`video` is the video's path below the folder, with `/`; `second` counts from its start, from
0. `bbox` is `[x, y, width, height]` in 0..1 of the upright picture in the middle of that second. A
second may have several entries. `class` may be left out: it is then the video's own. An entry with
`"sounding": false` is of an object that is seen and not heard.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avloc.data_pipelines.annotations.boxes import Row, check_order, read_box
from avloc.data_pipelines.annotations.reading import as_kind, as_whole, read_json, take
from avloc.data_pipelines.collection import Box


class Boxed(NamedTuple):
    """An object in a second of a video.

    Attributes:
      box: its position in the middle of the second.
      category: name of its class; None: that of the video.
      sounding: whether it is heard.
    """

    box: Box
    category: str | None
    sounding: bool = True


Seconds = dict[tuple[str, int], list[Boxed]]
"""Objects by video and second."""


def read_seconds(paths: Sequence[Path], classes: Collection[str]) -> Seconds:
    """The objects of annotation files.

    Args:
      paths: the files.
      classes: the names that an entry may give as its class; empty: names are not checked.

    Raises:
      ValueError: naming the file, the entry and the field that is missing or wrong.
    """
    found: Seconds = {}
    for path in paths:
        rows: list[Row] = []
        for number, entry in enumerate(read_json(path, list)):
            video, second, boxed = _read(entry, f"{path}, entry {number}", classes, rows)
            found.setdefault((video, second), []).append(boxed)
        check_order(rows, "xywh", path)
    return found


def _read(
    entry: Any, place: str, classes: Collection[str], rows: list[Row]
) -> tuple[str, int, Boxed]:
    fields = as_kind(entry, dict, place)
    video = take(fields, "video", str, place)
    if "second" not in fields:
        raise ValueError(f'{place}: the field "second" is missing')
    second = as_whole(fields["second"], f'{place}, "second"')
    if second < 0:
        raise ValueError(f'{place}, "second": must not be below 0, but is {second}')
    category = take(fields, "class", str, place) if fields.get("class") is not None else None
    if category is not None and classes and category not in classes:
        raise ValueError(
            f'{place}, "class": {category!r} is not a folder of videos; there are '
            + ", ".join(sorted(classes))
        )
    box = read_box(take(fields, "bbox", list, place), f'{place}, "bbox"', rows)
    sounding = as_kind(fields.get("sounding", True), bool, f'{place}, "sounding"')
    return video, second, Boxed(box, category, sounding)
