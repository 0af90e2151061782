"""Measures a whole set batch by batch: it keeps a few numbers of each scene, never its maps.

Only a threshold that is a share of the largest value over all maps needs every map twice. Then
they are stored at the model's own grid, beyond 256 MiB in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avloc.clustering import CategoryMap
from avloc.evaluation import metrics
from avloc.evaluation.boxes import boxes_of
from avloc.evaluation.edges import pixel_edges
from avloc.evaluation.items import Items, Part, predictions, reasons_not_scored
from avloc.evaluation.protocols import Protocol
from avloc.types import Batch, Prediction

# Pixels of resized maps measured at once: 4 MiB of float32, which stay in a CPU's cache.
_PIXELS = 2**20
_WAITING = 2**28  # bytes


class Detections(NamedTuple):
    """`D` boxes made from the maps of the scored items.

    Attributes:
      item: index among the scored items.
      category: the category of the map; 0 in the task `single`.
      boxes: `[ymin, xmin, ymax, xmax]` in 0..1.
      scores: largest activation in the box.
    """

    item: Int[np.ndarray, " D"]
    category: Int[np.ndarray, " D"]
    boxes: Float[np.ndarray, "D 4"]
    scores: Float[np.ndarray, " D"]


class Measured(NamedTuple):
    """Everything measured on a set.

    Attributes:
      items: all of its `S` items.
      reasons: why an item is not scored; empty if it is.
      scored: the items that are.
      counts: of the scored items, in their order; None if there are none.
      mass: mean activation of the map of an object's category inside its box.
      detections: of the scored items; None if the method does not distinguish categories.
    """

    items: Items
    reasons: np.ndarray
    scored: Items
    counts: metrics.Measures | None
    mass: Float[np.ndarray, "scored M"]
    detections: Detections | None


def measure_all(
    predict: Callable[[Batch], Prediction],
    batches: Iterable[Batch],
    protocol: Protocol,
    categories: CategoryMap | None,
    n: int,
) -> Measured:
    """Predicts and measures every batch; see `evaluate`.

    Raises:
      ValueError: as `predictions` and `reasons_not_scored`.
    """
    parts, reasons, agnostic = [], [], False
    meter = _Meter(protocol)

    def scored() -> Iterator[Part]:
        nonlocal agnostic
        for part in predictions(predict, batches, protocol, categories, n):
            why = reasons_not_scored(part.items, protocol, n)
            parts.append(part.items)
            reasons.append(why)
            agnostic |= part.agnostic
            kept = why == ""
            if kept.any():
                yield Part(part.items.take(kept), part.maps[kept], part.agnostic)

    if any(rule and rule.of == "largest" for rule in (protocol.threshold, protocol.silent)):
        meter.add_twice(scored())
    else:
        for part in scored():
            meter.add(part.items, part.maps, np.float32(0))
    items, why = Items.join(parts), np.concatenate(reasons)
    told_apart = protocol.task == "single" or not agnostic
    counts, mass = meter.found()
    return Measured(
        items, why, items.take(why == ""), counts, mass, meter.detections() if told_apart else None
    )


class _Meter:
    """Collects the measurements of items, batch by batch."""

    def __init__(self, protocol: Protocol):
        self.protocol = protocol
        self._size = 0
        self._counts: list[metrics.Measures] = []
        self._mass: list[np.ndarray] = []
        self._detections: list[Detections] = []

    def add_twice(self, parts: Iterable[Part]) -> None:
        """Finds the largest value over all maps first."""
        largest, waiting = np.float32(-np.inf), []
        with tempfile.SpooledTemporaryFile(max_size=_WAITING) as file:
            for part in parts:
                np.lib.format.write_array(file, part.maps, allow_pickle=False)
                waiting.append(part.items)
                for (maps,), _ in self._chunks(self.protocol.size, part.maps):
                    largest = np.maximum(largest, self._enlarge(maps).max())
            file.seek(0)
            for items in waiting:
                self.add(items, np.lib.format.read_array(file, allow_pickle=False), largest)

    def add(self, items: Items, maps: np.ndarray, largest: np.float32) -> None:
        """Measures the maps of some items, a bounded number at a time, all of one shape."""
        rules = self.protocol
        labels = items.labels
        if rules.task == "single":
            # One map for everything that sounds: every sounding object is of category 0.
            labels = np.where(items.sounding, 0, -1)
        edges = pixel_edges(items.boxes, rules.size, rules.edges)
        found = []
        chunks = self._chunks(rules.size, maps, edges, labels, items.sounding)
        for (part, *boxes, sounding), real in chunks:
            resized, cuts = self._enlarge(part), None
            if rules.threshold.of == "quantile":
                cuts = metrics.quantile_cuts(np.asarray(resized), rules.threshold.fraction)
            counts = metrics.measure(resized, *boxes, sounding, largest, cuts, protocol=rules)
            mass = metrics.object_mass(part, *boxes, protocol=rules)
            found.append([np.asarray(x)[:real] for x in (*counts, mass)])
        # Joined, and so copied: hundreds of small device arrays would take more than the maps.
        *joined, mass = (np.concatenate(field) for field in zip(*found, strict=True))
        self._counts.append(metrics.Measures(*joined))
        self._mass.append(_rounded(mass))
        self._detect(maps)
        self._size += len(maps)

    def found(self) -> tuple[metrics.Measures | None, np.ndarray]:
        """Measures and object masses of all items so far."""
        if not self._counts:
            return None, np.zeros((0, 0))
        fields = zip(*self._counts, strict=True)
        return metrics.Measures(*map(np.concatenate, fields)), np.concatenate(self._mass)

    def detections(self) -> Detections:
        """The boxes of all items so far."""
        if not self._detections:
            nothing = np.zeros(0, int)
            return Detections(nothing, nothing, np.zeros((0, 4)), np.zeros(0))
        return Detections(*map(np.concatenate, zip(*self._detections, strict=True)))

    def _enlarge(self, maps: np.ndarray):
        return metrics.enlarge(maps, self.protocol.size, self.protocol.interpolation)

    def _detect(self, maps: np.ndarray) -> None:
        """Boxes as CSOL 4.4 makes them: each map is cut at half of its own range.

        At half of the protocol's size: an eighth of a cell of 14x14 is fine enough.
        """
        size, (height, width, n) = self.protocol.size // 2, maps.shape[1:]
        start = self._size
        for (part,), real in self._chunks(size, maps):
            resized = np.asarray(metrics.enlarge(part, size, self.protocol.interpolation))[:real]
            found = boxes_of(resized.reshape(-1, size, size), size**2 / (height * width))
            item, category = np.divmod(found.place, n)
            self._detections.append(Detections(start + item, category, found.boxes, found.scores))
            start += real

    def _chunks(self, size: int, maps: np.ndarray, *more: np.ndarray) -> Iterator[tuple[list, int]]:
        """Slices of items, all equally long, and how many are real: the rest repeats the last.

        As long as memory allows if maps are enlarged to `size`.
        """
        items, step = len(maps), 1
        while 2 * step * size**2 * maps.shape[-1] <= _PIXELS:
            step *= 2
        for start in range(0, items, step):
            places = np.minimum(np.arange(start, start + step), items - 1)
            yield [array[places] for array in (maps, *more)], min(step, items - start)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Rounds to 18 bits, so that values that differ only by the order of a sum are equal."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.round(fraction * 2**18) / 2**18, exponent)
