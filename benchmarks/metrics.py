"""CIoU, AUC and NSA of scenes against the published loop over scenes and maps, with cv2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avloc.evaluation import evaluate, get, metrics
from avloc.evaluation.edges import pixel_edges
from avloc.types import Batch, Prediction
from benchmarks.row import Equality, Row, in_turn
from tests.evaluation import published

PROTOCOL = get("dsol-synthetic")
FRAME = np.array([640, 360])
"""Width and height of an annotated frame, in pixels."""


class Scenes(NamedTuple):
    """Random scenes of a 2x2 grid, two of whose four objects sound.

    Attributes:
      maps: of categories; whole sixteenths, so that enlarging them by 16 is exact in float32.
      boxes: of the sounding objects, `[x, y, w, h]` in 0..1.
      labels: of these.
    """

    maps: Float[np.ndarray, "S 14 14 N"]
    boxes: Float[np.ndarray, "S 2 4"]
    labels: Int[np.ndarray, "S 2"]


def scenes(count: int, categories: int) -> Scenes:
    """Maps of noise with a bright patch, of any width, somewhere in each sounding object."""
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(categories)[:2] for _ in range(count)])
    half = FRAME // 2
    low = rng.integers(0, half // 2, (count, 2, 2))
    size = rng.integers(half // 4, half // 2, (count, 2, 2))
    corner = np.stack([rng.permutation(4)[:2] for _ in range(count)])
    low = low + half * np.stack([corner % 2, corner // 2], -1)
    boxes = np.concatenate([low / FRAME, size / FRAME], -1)
    maps = rng.integers(0, 5, (count, 14, 14, categories)) / 16
    cells = (np.arange(14) + 0.5) / 14
    for i, (places, own) in enumerate(zip(boxes, labels, strict=True)):
        for (x, y, w, h), label in zip(places, own, strict=True):
            down, across = rng.uniform(0, 1, 2)
            near = np.hypot((cells[:, None] - y - down * h) / h, (cells - x - across * w) / w)
            maps[i, ..., label] = np.round(16 * np.exp(-near * rng.uniform(0.5, 8))) / 16
    return Scenes(maps.astype(np.float32), boxes, labels)


def measured(found: Scenes, step: int = 4) -> tuple[float, float, float]:
    """CIoU@0.3, AUC and NSA in per cent with our functions, nothing else."""
    edges = pixel_edges(_corners(found.boxes), PROTOCOL.size, PROTOCOL.edges)
    sounding, parts = np.ones(found.labels.shape, bool), []
    for start in range(0, len(found.maps), step):
        at = slice(start, start + step)
        resized = metrics.enlarge(found.maps[at], PROTOCOL.size)
        args = (edges[at], found.labels[at], sounding[at], np.float32(0), None)
        parts.append(metrics.measure(resized, *args, protocol=PROTOCOL))
    counts = metrics.Measures(*(np.concatenate(field) for field in zip(*parts, strict=True)))
    sounds = counts.truth > 0
    ious = metrics.iou(counts.overlap, counts.truth, counts.outside)
    ciou = metrics.class_aware_iou(ious, sounds)
    return (
        100 * float((ciou >= PROTOCOL.success_cut).mean()),
        100 * float(metrics.success_auc(ciou, PROTOCOL.success_levels).mean()),
        100 * float(metrics.no_sounding_area(counts.quiet, sounds).mean()),
    )


def looped(found: Scenes) -> tuple[float, float, float]:
    """The same as the published code computes it."""
    scores = [
        published.scene(
            np.ascontiguousarray(maps.transpose(2, 0, 1)),
            {int(label): [box] for box, label in zip(boxes, labels, strict=True)},
            PROTOCOL.threshold.fraction,
            PROTOCOL.silent.fraction,
        )
        for maps, boxes, labels in zip(*found, strict=True)
    ]
    success, area = published.summary([ciou for ciou, _ in scores], step=6)
    return float(success), float(area), 100 * float(np.mean([nsa for _, nsa in scores]))


def evaluated(found: Scenes, size: int = 32) -> None:
    """Everything that `evaluate` reports."""
    names = [f"class {i}" for i in range(found.maps.shape[-1])]

    def predict(batch: Batch) -> Prediction:
        maps = found.maps[batch.index]
        nothing = np.zeros((len(maps), 1), np.float32)
        return Prediction(maps, nothing, nothing, maps[..., 0], np.full(len(maps), -1))

    def batches() -> Iterator[Batch]:
        for start in range(0, len(found.maps), size):
            at = slice(start, start + size)
            count = len(found.labels[at])
            empty = Batch.of(np.zeros((count, 1, 1, 3), np.uint8), np.zeros((count, 1)))
            yield empty._replace(
                index=np.arange(start, start + count),
                video=np.arange(start, start + count),
                boxes=_corners(found.boxes[at]),
                labels=found.labels[at],
                sounding=np.ones((count, 2), bool),
                offscreen=np.zeros((count, 2), bool),
                level_db=np.zeros((count, 2)),
            )

    evaluate(predict, batches(), PROTOCOL, names=names)


def rows(quick: bool) -> Iterator[Row]:
    """456 scenes of 11 categories: the three figures, then all that an evaluation reports."""
    found = scenes(*((8, 3) if quick else (456, 11)))
    figures: dict[str, tuple[float, float, float]] = {}
    times = in_turn(
        {
            "ours": lambda: figures.update(ours=measured(found)),
            "loop": lambda: figures.update(loop=looped(found)),
            "all": lambda: evaluated(found),
        },
        rounds=3 if quick else 7,
    )
    difference = float(np.abs(np.subtract(figures["ours"], figures["loop"])).max())
    size = f"{len(found.maps)} scenes x {found.maps.shape[-1]} maps"
    values = ", ".join(f"{value:.2f}" for value in figures["loop"])
    yield Row(
        f"CIoU, AUC, NSA, {size}",
        "the published loop with cv2",
        times["ours"],
        times["loop"],
        target=1,
        equality=Equality("largest difference in per cent", difference, 1e-5),
        note=f"maps of 14x14 at {PROTOCOL.size} pixels; the figures are {values}",
    )
    yield Row(
        f"whole evaluation, {size}",
        "the same loop",
        times["all"],
        times["loop"],
        note="only ours adds AP of boxes, AUROC, a table of items, an interval for each figure",
    )


def _corners(boxes: Float[np.ndarray, "*slots 4"]) -> Float[np.ndarray, "*slots 4"]:
    """`[x, y, w, h]` as in records: `[ymin, xmin, ymax, xmax]` in float32."""
    x, y, w, h = np.moveaxis(boxes, -1, 0)
    return np.stack([y, x, y + h, x + w], -1).astype(np.float32)
