"""Scores the rows that need no model on annotated boxes alone: no video, no built data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avloc.data_pipelines.catalogue import DATASETS
from avloc.data_pipelines.collection import Folder, Object, Offscreen, Recording
from avloc.data_pipelines.registry import builder_class
from avloc.data_pipelines.scenes.plan import RECIPES, SceneSplit, plan_scenes
from avloc.drawing.table import Table
from avloc.evaluation import HEARD_METRICS, protocols
from avloc.evaluation.baselines import model_free, random_map
from avloc.evaluation.evaluator import evaluate
from avloc.evaluation.results import Evaluation, comparison
from avloc.naming import did_you_mean
from avloc.progress import track
from avloc.types import Batch

_BATCH = 8
_CELLS = (14, 14)  # of the random map, as the networks of the papers have

Item = tuple[str, tuple[Object, ...]]
"""The video of an annotated frame, and its objects."""


def score_annotations(
    data: str, folder: str | Path, split: str, protocol: str
) -> tuple[dict[str, Evaluation], str]:
    """The model-free rows on the boxes of a split, at the size of the protocol.

    Scenes that are made from single clips are planned as a build does it, from the boxes of all
    clips instead of those whose video is there.

    Args:
      data: name of the data set, or `NAME/CONFIGURATION`.
      folder: its annotation files, as for `avloc data build`; a file stands for its folder.
      split: of the data set.
      protocol: the name of one.

    Returns:
      The rows, and what was scored in words.

    Raises:
      ValueError: there is no such data set, folder, split or protocol, or no boxes in it.
    """
    rules, folder = protocols.get(protocol), Path(folder).expanduser()
    source = Folder(folder.parent if folder.is_file() else folder)
    items, names = _items(data, source, split)
    slots = max(len(objects) for _, objects in items)
    n, size = max(1, len(names)), (rules.size, rules.size)
    free = model_free(size, n, rules) | {"random map": random_map(_CELLS, n)}
    rows = {
        row: evaluate(predict, _batches(items, slots), rules, None, names)
        for row, predict in track(free.items(), "scoring rows", len(free), "row")
    }
    first = next(iter(rows.values()))
    if not first.evaluated:
        why = "; ".join(f"{why} ({count} items)" for why, count in first.reasons.items())
        raise ValueError(f"{data}, split {split}: nothing is scored: {why}")
    videos = len({video for video, objects in items if objects})
    return rows, f"{data}, split {split}: {len(items)} items, {videos} videos or scenes with boxes"


def table(rows: dict[str, Evaluation], about: str) -> Table:
    """The rows, without what is heard and clustered: nothing was."""
    left_out = {*HEARD_METRICS, "NMI", "purity", "audio NMI"}
    return comparison(rows, f"Model-free rows on {about}", lambda name: name not in left_out)


def _items(data: str, source: Folder, split: str) -> tuple[list[Item], Sequence[str]]:
    name, _, variant = data.partition("/")
    if name not in DATASETS:
        raise ValueError(f"there is no data set {name!r}{did_you_mean(name, DATASETS)}")
    builder = builder_class(DATASETS[name])
    scenes: dict[str, SceneSplit] = getattr(builder, "SCENES", {})
    if scenes:
        _check_split(data, split, scenes)
        base = builder_class(DATASETS[DATASETS[name].made_from])
        collection = base.collection(source)
        solos = list(_annotated(collection.splits[scenes[split].source]))
        return list(_scenes(solos, scenes[split])), collection.classes
    if not hasattr(builder, "collection"):
        raise ValueError(f"{name} has no annotation files: build it and score maps on it")
    variants = builder.VARIANTS
    if variant and variant not in variants:
        raise ValueError(f"{name} has no configuration {variant!r}; it has {', '.join(variants)}")
    collection = builder.collection(source, **variants[variant or "default"])
    there = {part: list(_annotated(found)) for part, found in collection.splits.items()}
    _check_split(data, split, [part for part, found in there.items() if found])
    return there[split], collection.classes


def _check_split(data: str, split: str, there: Any) -> None:
    if split not in there:
        raise ValueError(
            f"{data} has no annotated split {split!r}; it has {', '.join(there) or 'none'}"
        )


def _annotated(recordings: Sequence[Recording]) -> Iterator[Item]:
    for recording in recordings:
        for moment in recording.moments or ():
            yield recording.id, moment.objects


def _scenes(solos: Sequence[Item], wanted: SceneSplit) -> Iterator[Item]:
    """Scenes of single clips, whose boxes move into their cells."""
    usable = [
        (video, objects)
        for video, objects in solos
        if objects and all(o.box and o.sounding for o in objects) and len(_labels(objects)) == 1
    ]
    labels = [objects[0].label for _, objects in usable]
    videos = [video for video, _ in usable]
    recipe, count = RECIPES[wanted.recipe], min(wanted.count, len(usable))
    plan = plan_scenes(labels, videos, count, recipe, seed=0)
    rows, columns = recipe.grid
    for number, (clips, sounding) in enumerate(zip(plan.clips, plan.sounding, strict=True)):
        placed: list[Object] = []
        for cell, (clip, sounds) in enumerate(zip(clips, sounding, strict=True)):
            objects = usable[clip][1]
            if cell >= rows * columns:
                placed.append(Offscreen(None, objects[0].label))
                continue
            corner = np.array([cell // columns, cell % columns] * 2)
            placed += [
                Object(_moved(o.box, corner, recipe.grid), o.label, bool(sounds)) for o in objects
            ]
        yield f"scene {number}", tuple(placed)


def _moved(
    box: Sequence[float], corner: np.ndarray, grid: tuple[int, int]
) -> tuple[float, float, float, float]:
    top, left, bottom, right = (np.array(box) + corner) / np.array([*grid, *grid])
    return float(top), float(left), float(bottom), float(right)


def _labels(objects: Sequence[Object]) -> set[int]:
    return {o.label for o in objects}


def _batches(items: Sequence[Item], slots: int) -> Iterator[Batch]:
    numbers = {video: n for n, video in enumerate(dict.fromkeys(video for video, _ in items))}
    for start in range(0, len(items), _BATCH):
        some = items[start : start + _BATCH]
        empty = Object((0.0, 0.0, 0.0, 0.0), -1, False)
        filled = [(*objects, *[empty] * (slots - len(objects))) for _, objects in some]
        shape = (len(some), slots)

        def made(value, kind, *more, filled=filled, shape=shape):
            return np.array([[value(o) for o in row] for row in filled], kind).reshape(
                *shape, *more
            )

        yield Batch(
            image=np.zeros((len(some), 1, 1, 3), np.uint8),
            waveform=np.zeros((len(some), 0), np.int16),
            index=np.arange(start, start + len(some)),
            video=np.array([numbers[video] for video, _ in some]),
            mask=np.ones(len(some), bool),
            boxes=made(lambda o: o.box or (0.0,) * 4, np.float32, 4),
            labels=made(lambda o: o.label, np.int32),
            sounding=made(lambda o: o.sounding, bool),
            offscreen=made(lambda o: isinstance(o, Offscreen), bool),
            level_db=np.zeros(shape, np.float32),
        )
