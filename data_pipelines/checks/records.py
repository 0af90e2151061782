"""Checks the records of a built data set for what would spoil a measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.media.waveform import is_silent
from avloc.progress import track


@dataclass
class RecordFindings:
    """What was found in a built split; ids of records, except for the counts.

    Attributes:
      records: how many there are.
      videos: how many recordings they come from.
      objects: of all records.
      unplaced: objects in the picture whose position is not known.
      classes: objects of each category.
      outside: with a box that extends beyond the frame.
      empty: with a box without area.
      unlabelled: with an object whose label is no category of the data set.
      silent: in which nothing can be heard.
      duplicates: groups of records of one split that show the same pictures.
    """

    records: int = 0
    videos: int = 0
    objects: int = 0
    unplaced: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)


@dataclass
class BuiltFindings:
    """What was found in a built data set.

    Attributes:
      splits: by name.
      shared_frames: pictures that records of two splits have in common: the splits' names, how
        many, and pairs of ids.
      metadata: stored when it was built.
    """

    splits: dict[str, RecordFindings]
    shared_frames: list[dict]
    metadata: Mapping[str, Any]


def check_records(dataset: Dataset) -> BuiltFindings:
    """Reads every record once, with a progress bar."""
    names = dataset.info.class_names
    splits: dict[str, RecordFindings] = {}
    shown: dict[str, dict[bytes, list[str]]] = {}
    for name, count in dataset.info.num_examples.items():
        source, made, videos = dataset.source(name), RecordFindings(), set()
        pictures: dict[bytes, list[str]] = {}
        for place in track(range(count), f"reading {name}", count, "record"):
            record = source[place]
            key = _check(record, made, names)
            videos.add(record["video"])
            pictures.setdefault(key, []).append(_text(record["id"]))
        made.videos = len(videos)
        made.duplicates = sorted(sorted(ids) for ids in pictures.values() if len(ids) > 1)
        splits[name], shown[name] = made, pictures
    return BuiltFindings(splits, list(_shared(shown)), dataset.metadata)


def _check(record: Any, made: RecordFindings, names: tuple[str, ...]) -> bytes:
    """Adds a record to the findings; returns a hash of its pictures."""
    id, objects = _text(record["id"]), record["objects"]
    boxes = np.asarray(objects["bbox"], np.float64).reshape(-1, 4)
    labels = np.asarray(objects["label"], int)
    offscreen = np.asarray(objects["offscreen"], bool)
    placed = boxes.any(-1)
    size = boxes[:, 2:] - boxes[:, :2]
    made.records += 1
    made.objects += len(boxes)
    made.unplaced += int(np.sum(~placed & ~offscreen))
    for label in labels[(labels >= 0) & (labels < len(names))]:
        made.classes[names[label]] = made.classes.get(names[label], 0) + 1
    for fault, there in (
        (made.outside, np.any((boxes < 0) | (boxes > 1))),
        (made.empty, np.any(placed & (size <= 0).any(-1))),
        (made.unlabelled, names and np.any((labels < 0) | (labels >= len(names)))),
        (made.silent, _silent(record)),
    ):
        if there:
            fault.append(id)
    digest = hashlib.blake2b(digest_size=16)
    for frame in record["frames"]:
        digest.update(np.ascontiguousarray(frame).data)
    return digest.digest()


def _silent(record: Any) -> bool:
    if "log_mel" in record:
        return bool(np.ptp(record["log_mel"]) == 0)
    return is_silent(record["waveform"])


def _shared(shown: dict[str, dict[bytes, list[str]]]) -> Iterator[dict]:
    names = list(shown)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = shown[one].keys() & shown[other].keys()
            pairs = sorted([shown[one][key][0], shown[other][key][0]] for key in both)
            if pairs:
                yield {"splits": [one, other], "count": len(pairs), "ids": pairs}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
