"""Scenes as a list: pictures, each with a sound, and what is seen and heard in them.

A folder of `ID.jpg` and `ID.wav`, and one `annotations.json`:

    [{"id": "0000", "image": "0000.jpg", "audio": "0000.wav",
      "objects": [{"class": "pig", "bbox": [0.1, 0.2, 0.3, 0.4], "sounding": true}],
      "offscreen": ["goose"]}]

`bbox` is `[x, y, width, height]` in 0..1 of the picture, null where the position is not known.
`offscreen` names what is heard and not seen. `image` and `audio` are paths inside the folder, by
default `ID.jpg` and `ID.wav`; `start` is where the clip begins in the sound, in seconds, 0 by
default. The layout of `plain` is read too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avloc.data_pipelines.annotations.boxes import Row, check_order, read_box
from avloc.data_pipelines.annotations.plain import inner_path, read_plain
from avloc.data_pipelines.annotations.reading import (
    as_kind,
    as_number,
    read_json,
    read_text,
    take,
)
from avloc.data_pipelines.collection import Box
from avloc.json_files import parse_json


class Seen(NamedTuple):
    """An object in the picture; fields as in `collection.Object`, with the name of its class."""

    box: Box | None
    category: str
    sounding: bool


class Scene(NamedTuple):
    """A picture and its sound.

    Attributes:
      id: its unique name.
      image: picture file, relative to the folder of `annotations.json`; it need not exist.
      audio: sound file, in the same way.
      start: where the clip begins in the sound file, in seconds.
      objects: what is annotated in the picture.
      offscreen: names of what is heard and not in the picture.
    """

    id: str
    image: Path
    audio: Path
    start: float
    objects: tuple[Seen, ...]
    offscreen: tuple[str, ...] = ()


def read_scenes(path: Path) -> list[Scene]:
    """The scenes of an `annotations.json`.

    Raises:
      ValueError: naming the file, the entry and the field that is missing or wrong.
    """
    if _is_plain(path):
        return _plain(path)
    rows: list[Row] = []
    scenes: dict[str, Scene] = {}
    for number, entry in enumerate(read_json(path, list)):
        scene = _read(entry, f"{path}, entry {number}", rows)
        if scene.id in scenes:
            raise ValueError(f'{path}, entry {number}, "id": {scene.id!r} appears twice')
        scenes[scene.id] = scene
    check_order(rows, "xywh", path)
    return list(scenes.values())


def class_names(scenes: Sequence[Scene]) -> list[str]:
    """Sorted names of everything that is seen or heard."""
    seen = {found.category for scene in scenes for found in scene.objects}
    return sorted(seen.union(*(scene.offscreen for scene in scenes)))


def _is_plain(path: Path) -> bool:
    try:
        return isinstance(parse_json(read_text(path)), dict)
    except ValueError:
        return False  # said when it is read


def _plain(path: Path) -> list[Scene]:
    classes, items = read_plain(path)
    return [
        Scene(
            item.id,
            item.frame,
            item.sound,
            item.start,
            tuple(Seen(o.box, classes[o.label], o.sounding) for o in item.objects),
        )
        for item in items
    ]


def _read(entry: Any, place: str, rows: list[Row]) -> Scene:
    fields = as_kind(entry, dict, place)
    name = take(fields, "id", str, place)
    place = f"{place} ({name})"
    start = as_number(fields.get("start", 0.0), f'{place}, "start"')
    if start < 0:
        raise ValueError(f'{place}, "start": must not be below 0, but is {start:g}')
    offscreen = as_kind(fields.get("offscreen", []), list, f'{place}, "offscreen"')
    return Scene(
        id=name,
        image=_file(fields, "image", f"{name}.jpg", place),
        audio=_file(fields, "audio", f"{name}.wav", place),
        start=start,
        objects=tuple(
            _object(found, f"{place}, object {number}", rows)
            for number, found in enumerate(take(fields, "objects", list, place))
        ),
        offscreen=tuple(as_kind(sound, str, f'{place}, "offscreen"') for sound in offscreen),
    )


def _file(fields: dict[str, Any], key: str, usual: str, place: str) -> Path:
    place = f'{place}, "{key}"'
    return inner_path(as_kind(fields.get(key, usual), str, place), place)


def _object(entry: Any, place: str, rows: list[Row]) -> Seen:
    fields = as_kind(entry, dict, place)
    category, sounding = take(fields, "class", str, place), take(fields, "sounding", bool, place)
    if "bbox" not in fields:
        raise ValueError(f'{place}: the field "bbox" is missing; write null if there is no box')
    if fields["bbox"] is None:
        return Seen(None, category, sounding)
    return Seen(read_box(fields["bbox"], f'{place}, "bbox"', rows), category, sounding)
