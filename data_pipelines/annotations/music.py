"""MUSIC: the authors' lists of videos and splits, and the annotated frames of its test videos."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avloc.data_pipelines.annotations.boxes import check_order, from_xywh
from avloc.data_pipelines.annotations.frame_rate import fit_rate
from avloc.data_pipelines.annotations.reading import (
    as_kind,
    as_number,
    as_row,
    as_whole,
    read_json,
    read_lines,
    take,
)
from avloc.data_pipelines.collection import Moment, Object, youtube_id

MUSIC_CLASSES = (
    "accordion",
    "acoustic_guitar",
    "cello",
    "clarinet",
    "erhu",
    "flute",
    "saxophone",
    "trumpet",
    "tuba",
    "violin",
    "xylophone",
)
"""The eleven instruments of MUSIC."""

CATEGORIES = {
    1: "cello",
    3: "acoustic_guitar",
    8: "saxophone",
    10: "trumpet",
    11: "violin",
    12: "flute",
    13: "accordion",
}
"""Instruments by `category_id`: those of the eleven that the authors' detector knows."""

_KEY = re.compile(r"(?P<id>.{11})_\d+_\d+/frame_(?P<second>\d+)/(?P<number>\d+)\.jpg")

_SIZE = ("wdith", "height")  # the spelling of the published files


def read_videos(path: Path) -> dict[str, tuple[str, ...]]:
    """Category names of each YouTube id of `MUSIC_solo_videos.json` or `MUSIC_duet_videos.json`.

    The key of a duet is two names separated by a space: its ids get both. An id under two keys
    gets the names of both keys.
    """
    names: dict[str, tuple[str, ...]] = {}
    for key, ids in take(read_json(path, dict), "videos", dict, str(path)).items():
        if not key.split():
            raise ValueError(f'{path}: a key of "videos" is empty, and must name instruments')
        for member in as_kind(ids, list, f"{path}, {key}"):
            known = names.get(as_kind(member, str, f"{path}, {key}"), ())
            names[member] = tuple(dict.fromkeys((*known, *key.split())))
    return names


def first_videos(
    names: Mapping[str, Sequence[str]], count: int
) -> tuple[dict[str, None], dict[str, None]]:
    """The first listed videos of each category, and the others, in order.

    That is how the authors of DSOL and CSOL chose what they test on ("the first five videos of each
    instrument category"), whether a video could still be had or not.

    Args:
      names: categories of each video, as `read_videos` gives them.
      count: videos of each category.
    """
    taken: Counter[tuple[str, ...]] = Counter()
    first, rest = {}, {}
    for video, of in names.items():
        taken[tuple(of)] += 1
        (first if taken[tuple(of)] <= count else rest)[video] = None
    return first, rest


def read_pairs(path: Path) -> list[str]:
    """YouTube ids of a list with one line `SOUND VIDEO` each, in order, without repeats.

    The names are `ID.flac ID.mp4`, or `ID_0_1000.flac ID_0_1000.mp4`.
    """
    ids: dict[str, None] = {}
    for place, line in read_lines(path):
        names = line.split()
        if len(names) != 2:
            raise ValueError(f"{place}: must be a sound file and a video file, not {line!r}")
        sound, video = map(youtube_id, names)
        if sound != video:
            raise ValueError(f"{place}: the sound file is of {sound}, but the video is {video}")
        ids[video] = None
    return list(ids)


def read_annotated_frames(path: Path, classes: Sequence[str]) -> dict[str, tuple[Moment, ...]]:
    """Annotated frames of each YouTube id of `solotest.json` or `duettest.json`, in order of time.

    A key is `ID_0_1000/frame_SSS/NNNNN.jpg`: `SSS` is the second that the frame lies in, `NNNNN`
    the frame number, both from 0. The file does not say which frame rate the numbers assume; it
    is fitted to all frames of a video (`frame_rate`), and `Moment.time` is number / rate. In the
    published files every video was cut at 30 frames a second, with four frames taken from each
    second, 7 apart. A frame without a box has no objects. Every annotated object sounds: the
    authors removed the silent ones.

    Args:
      path: the file.
      classes: names; labels are indices into them.

    Raises:
      ValueError: impossible content, or a category that is unknown or not among `classes`.
    """
    entries = read_json(path, dict)
    rows = {key: list(_rows(path, key, entry)) for key, entry in entries.items()}
    check_order([row for found in rows.values() for _, row in found], "xywh", path)

    frames: dict[str, list[tuple[int, int, str]]] = {}
    for key in entries:
        video, second, number = _parse_key(path, key)
        frames.setdefault(video, []).append((second, number, key))
    moments = {}
    for video, found in frames.items():
        rate = fit_rate((second, number) for second, number, _ in found)
        if rate is None:
            raise ValueError(f"{path}: no frame rate fits the frame numbers of {video}")
        moments[video] = tuple(
            Moment(
                name=key,
                start=float(second),
                time=float(number / rate),
                objects=tuple(
                    Object(from_xywh(row), _label(path, key, category, classes))
                    for category, row in rows[key]
                ),
            )
            for second, number, key in sorted(found, key=lambda frame: frame[1])
        )
    return moments


def disagreeing_boxes(path: Path) -> list[str]:
    """Keys where a `normbox` differs from its `box` over the picture's size by over half a pixel.

    The pixel boxes are not used elsewhere.
    """
    entries = read_json(path, dict).items()
    return [key for key, entry in entries if max(_pixels_apart(path, key, entry), default=0) > 0.5]


def _parse_key(path: Path, key: str) -> tuple[str, int, int]:
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{path}: the key {key!r} is not ID_0_1000/frame_SECOND/NUMBER.jpg")
    return match["id"], int(match["second"]), int(match["number"])


def _rows(path: Path, key: str, entry: Any) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Category and normalised box of each object of an entry, in file order."""
    place = f"{path}, {key}"
    for box in take(as_kind(entry, dict, place), "bbox", list, place):
        fields: Mapping[str, Any] = as_kind(box, dict, place)
        category = as_whole(fields.get("category_id"), f'{place}, "category_id"')
        yield category, as_row(take(fields, "normbox", list, place), f'{place}, "normbox"')


def _pixels_apart(path: Path, key: str, entry: Any) -> Iterator[float]:
    """Distance of each number of each `normbox` from its `box`, in pixels."""
    place = f"{path}, {key}"
    rows = [row for _, row in _rows(path, key, entry)]
    width, height = (as_number(entry.get(name), f'{place}, "{name}"') for name in _SIZE)
    for box, row in zip(entry["bbox"], rows, strict=True):
        pixels = as_row(take(box, "box", list, place), f'{place}, "box"')
        for pixel, share, side in zip(pixels, row, (width, height) * 2, strict=True):
            yield abs(pixel - share * side)


def _label(path: Path, key: str, category: int, classes: Sequence[str]) -> int:
    name = CATEGORIES.get(category)
    if name is None:
        raise ValueError(f"{path}, {key}: category {category} is unknown; known are {CATEGORIES}")
    if name not in classes:
        raise ValueError(f"{path}, {key}: {name} is not among the classes {', '.join(classes)}")
    return classes.index(name)
