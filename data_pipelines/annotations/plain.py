"""The plain layout, for data sets whose own layout is not publicly described.

A folder with frames, sounds and one `annotations.json`:

    {"classes": ["cello", "flute"],
     "items": [{"id": "a", "frame": "frames/a.jpg", "sound": "wav/a.wav", "start": 0.0,
                "objects": [{"box": [0.1, 0.2, 0.3, 0.4], "category": "cello",
                             "sounding": true}]}]}

`box` is `[x, y, width, height]` in 0..1 of the upright frame, null where the object is not in the
picture or its position is not known. `start` is where the clip starts in the sound file, in
seconds, 0 by default. Every other field is required.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from avloc.data_pipelines.annotations.boxes import Row, check_order, read_box
from avloc.data_pipelines.annotations.reading import as_kind, as_number, read_json, take
from avloc.data_pipelines.collection import Object


class Item(NamedTuple):
    """A frame and its sound.

    Attributes:
      id: its unique name.
      frame: picture file, relative to the folder of `annotations.json`; it need not exist.
      sound: sound file, in the same way.
      start: where the clip starts in the sound file, in seconds.
      objects: what is annotated.
    """

    id: str
    frame: Path
    sound: Path
    start: float
    objects: tuple[Object, ...]


class Plain(NamedTuple):
    """Content of an `annotations.json`."""

    classes: tuple[str, ...]
    items: tuple[Item, ...]


def read_plain(path: Path) -> Plain:
    """Classes and items of an `annotations.json`.

    Raises:
      ValueError: naming the item and the field that is missing or wrong.
    """
    content = read_json(path, dict)
    classes = tuple(
        as_kind(name, str, f'{path}, "classes"')
        for name in take(content, "classes", list, str(path))
    )
    if len(set(classes)) < len(classes):
        raise ValueError(f'{path}, "classes": a name appears twice')
    rows: list[Row] = []
    items: dict[str, Item] = {}
    for number, entry in enumerate(take(content, "items", list, str(path))):
        item = _read_item(entry, f"{path}, item {number}", classes, rows)
        if item.id in items:
            raise ValueError(f'{path}, item {number}, "id": {item.id!r} appears twice')
        items[item.id] = item
    check_order(rows, "xywh", path)
    return Plain(classes, tuple(items.values()))


def _read_item(entry: Any, place: str, classes: Sequence[str], rows: list[Row]) -> Item:
    fields = as_kind(entry, dict, place)
    name = take(fields, "id", str, place)
    place = f"{place} ({name})"
    objects = take(fields, "objects", list, place)
    start = as_number(fields.get("start", 0.0), f'{place}, "start"')
    if start < 0:
        raise ValueError(f'{place}, "start": must not be below 0, but is {start:g}')
    return Item(
        id=name,
        frame=inner_path(take(fields, "frame", str, place), f'{place}, "frame"'),
        sound=inner_path(take(fields, "sound", str, place), f'{place}, "sound"'),
        start=start,
        objects=tuple(
            _read_object(found, f"{place}, object {number}", classes, rows)
            for number, found in enumerate(objects)
        ),
    )


def _read_object(entry: Any, place: str, classes: Sequence[str], rows: list[Row]) -> Object:
    fields = as_kind(entry, dict, place)
    category = take(fields, "category", str, place)
    if category not in classes:
        known = ", ".join(classes)
        raise ValueError(f'{place}, "category": {category!r} is not among the classes {known}')
    box = None
    if "box" not in fields:
        raise ValueError(f'{place}: the field "box" is missing; write null if there is no box')
    if fields["box"] is not None:
        box = read_box(fields["box"], f'{place}, "box"', rows)
    return Object(box, classes.index(category), take(fields, "sounding", bool, place))


def inner_path(name: str, place: str) -> Path:
    """The path; ValueError naming its place if it leads out of the folder."""
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or set(name) & {"\\", "\0"}:
        raise ValueError(f"{place}: must be a path inside the folder, with /, not {name!r}")
    return Path(relative)
