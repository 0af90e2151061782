"""Scores given maps on a split under one protocol or all, next to model-free baselines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from avloc.data_pipelines.loader import evaluation_batches
from avloc.evaluation import protocols
from avloc.evaluation.baselines import ceiling, model_free
from avloc.evaluation.evaluator import evaluate
from avloc.evaluation.protocols import Protocol
from avloc.evaluation.results import Evaluation, digits
from avloc.progress import track
from avloc.scoring.given_maps import GivenMaps
from avloc.scoring.map_files import NamedArrays
from avloc.scoring.score_table import GIVEN, MapScores, measured
from avloc.types import Batch, DatasetInfo

ALL = "all"
"""Means every protocol that fits."""

_BATCH = 32
_VALUES = 2**24  # of a batch's maps, 64 MiB of float32
_AT_TAU = ("NSA", "off-screen false alarms")
_NAMED = 5  # how many unknown maps are named


def score_maps(
    path: str | Path, source: Sequence[Any], info: DatasetInfo, protocol: str, title: str
) -> MapScores:
    """Scores the maps at a path.

    Items without a map are counted and not scored, in every row.

    Args:
      path: see `NamedArrays` and `GivenMaps`.
      source: records of the split.
      info: of the data set.
      protocol: its name, or `ALL`.
      title: what is scored, in words.

    Raises:
      ValueError: the maps cannot be used, there is no such protocol, or none that fits.
    """
    asked = [protocols.get(protocol)] if protocol != ALL else list(protocols.PROTOCOLS.values())
    arrays = NamedArrays(path)
    ids, items = _read(source, info.max_objects)
    maps = GivenMaps(arrays, ids, info.class_names)
    rows: dict[str, dict[str, Evaluation]] = {}
    left_out: dict[str, str] = {}
    for rules in asked:
        why = _misfit(rules, maps) or (_other_task(rules, maps, items) if len(asked) > 1 else "")
        found = {} if why else _rows(rules, maps, ids, items, info.class_names)
        if found and not found[GIVEN].evaluated:
            why = "; ".join(f"{why} ({n} items)" for why, n in found[GIVEN].reasons.items())
        if why:
            left_out[rules.name] = why
        else:
            rows[rules.name] = found
    if not rows:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise ValueError(f"nothing is scored: {told}")
    return MapScores(title, rows, left_out, _remarks(maps, rows))


def _rows(
    rules: Protocol, maps: GivenMaps, ids: Sequence[str], items: Batch, names: Sequence[str]
) -> dict[str, Evaluation]:
    """The maps and, if they can be scored, the model-free baselines."""
    rows, n, pixels = {}, max(1, len(names)), (rules.size, rules.size)
    free = model_free(maps.grid(), n, rules)
    # The ceiling of the protocol, at any size.
    free["ceiling"] = ceiling(pixels, n, rules)
    largest = max(math.prod(size) for size in (pixels, *maps.sizes))
    step = max(1, min(_BATCH, _VALUES // (largest * n)))
    for row, predict in {GIVEN: maps.predictor(rules), **free}.items():
        found = evaluate(predict, _batches(items, maps.given, step), rules, None, names)
        rows[row] = _whole(_trusted(found, maps), ids, items, maps.given)
        if not found.evaluated:
            break
    return rows


class _WithoutPictures:
    """Records without picture and sound, which no protocol needs; their ids are kept."""

    def __init__(self, source: Sequence[Any]):
        self._source, self.ids = source, [""] * len(source)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self._source[index]
        self.ids[index] = record["id"].decode()
        nothing = {"frames": np.zeros((1, 1, 1, 3), np.uint8), "waveform": np.zeros(0, np.int16)}
        return {key: value for key, value in record.items() if key != "log_mel"} | nothing


def _read(source: Sequence[Any], slots: int) -> tuple[list[str], Batch]:
    """Ids and annotation of a split, in its order."""
    if not len(source):
        raise ValueError("there is nothing to score: the split has no items")
    light = _WithoutPictures(source)
    batches = evaluation_batches(light, image_size=1, batch_size=_BATCH, slots=slots)
    batches = track(batches, "reading the split", -(-len(source) // _BATCH), "batch")
    fields = zip(*batches, strict=True)
    whole = (None if parts[0] is None else np.concatenate(parts) for parts in fields)
    return light.ids, _take(Batch(*whole), np.arange(len(source)))


def _take(items: Batch, places: np.ndarray) -> Batch:
    return Batch(*(None if field is None else field[places] for field in items))


def _batches(items: Batch, wanted: Bool[np.ndarray, " S"], step: int) -> Iterator[Batch]:
    places = np.flatnonzero(wanted)
    for start in range(0, len(places), step):
        yield _take(items, places[start : start + step])


def _misfit(rules: Protocol, maps: GivenMaps) -> str:
    """Why a protocol cannot be applied to the maps; empty if it can."""
    if rules.threshold.of == "absolute" and _beyond(maps):
        return f"it cuts at {rules.threshold}, which is meant for maps of 0 to 1"
    return ""


def _other_task(rules: Protocol, maps: GivenMaps, items: Batch) -> str:
    """Why an applicable protocol does not match the task of the split and the maps."""
    objects = (items.labels >= 0) | items.sounding | (items.boxes[..., 2:] > 0).any(-1)
    labels = np.where(objects, items.labels, items.labels.max(1, keepdims=True))
    scenes = (labels.min(1) < labels.max(1)) | (objects & ~items.sounding).any(1)
    boxed = items.sounding & (items.boxes[..., 2:] > 0).all(-1)
    if rules.task == "multiple" and not scenes.any():
        return "it distinguishes the objects of a scene, but no item has more than one"
    if rules.task == "single" and scenes.any() and maps.channels > 1:
        return "it takes one map for everything that sounds, but a scene here has one map per class"
    if rules.iou == "consensus" and (scenes.any() or (boxed.sum(1) < 2).all()):
        return "it weighs several annotators' boxes of one object, but no item has these"
    return ""


def _beyond(maps: GivenMaps) -> bool:
    return maps.low < 0 or maps.high > 1


def _trusted(found: Evaluation, maps: GivenMaps) -> Evaluation:
    """Drops metrics that use an absolute tau if the maps are not in 0 to 1."""
    silent = found.protocol.silent
    if silent is None or silent.of != "absolute" or not _beyond(maps):
        return found
    kept = {name: value for name, value in found.metrics.items() if name not in _AT_TAU}
    return replace(found, metrics=kept)


def _whole(
    found: Evaluation, ids: Sequence[str], items: Batch, given: Bool[np.ndarray, " S"]
) -> Evaluation:
    """Extends an evaluation of the given items to the whole split: counts the rest, adds ids."""
    rows = {row["index"]: row for row in found.items}
    blank = dict.fromkeys(found.items[0], "")
    absent = {
        i: blank | {"index": i, "video": int(items.video[i]), "not_scored": "no map was given"}
        for i in np.flatnonzero(~given).tolist()
    }
    reasons = {**found.reasons, **({"no map was given": len(absent)} if absent else {})}
    listed = [{"id": ids[i], **row} for i, row in sorted((rows | absent).items())]
    return replace(found, total=len(ids), reasons=reasons, items=listed)


def _remarks(maps: GivenMaps, rows: Mapping[str, Mapping[str, Evaluation]]) -> list[str]:
    found = [evaluations[GIVEN] for evaluations in rows.values()]
    told = _not_scored(found)
    if maps.unknown:
        named = ", ".join(maps.unknown[:_NAMED])
        more = ", ..." if len(maps.unknown) > _NAMED else ""
        told.append(f"Maps without an item in the split: {len(maps.unknown)} ({named}{more}).")
    for _, metric, values in measured(rows):
        low, high = min(values, key=values.get), max(values, key=values.get)
        if values[low] < values[high]:
            n = digits(metric)
            told.append(
                f"By the rule alone, {metric} of these maps goes from {values[low]:.{n}f} ({low}) "
                f"to {values[high]:.{n}f} ({high})."
            )
    tasks = {one.protocol.task for one in found}
    if maps.channels == 1 and "multiple" in tasks:
        told.append("The maps do not distinguish classes: one map serves all of them.")
    if maps.channels > 1 and "single" in tasks:
        told.append(
            "A protocol that takes one map for all gets the largest value over the classes."
        )
    if len(maps.sizes) > 1:
        height, width = maps.grid()
        told.append(
            f"The maps have {len(maps.sizes)} different sizes; the model-free rows use the most "
            f"common one, {height}x{width}."
        )
    if _beyond(maps):
        told.append(
            f"The maps reach from {maps.low:.4g} to {maps.high:.4g}. A fraction of a maximum "
            "assumes that 0 is the lowest value. Metrics with an absolute threshold need maps in "
            "0 to 1 and are left out."
        )
    return told


def _not_scored(found: Sequence[Evaluation]) -> list[str]:
    """What is left out and why, once if it is the same under all protocols."""
    under: dict[tuple[str, int, int], list[str]] = {}
    for one in found:
        for why, count in one.reasons.items():
            under.setdefault((why, count, one.total), []).append(one.protocol.name)
    return [
        f"{count} of {total} items are not scored"
        f"{'' if len(names) == len(found) else ' under ' + ', '.join(names)}: {why}."
        for (why, count, total), names in under.items()
    ]
