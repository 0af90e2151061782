"""Silence and white noise in place of the sound: a method that hears must go dark.

A map that stays where it was shows that a network looks for things that could sound, and does not
listen. So the same pictures are scored again with a sound that none of them makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int16

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.scenes.mixing import EQUAL_RMS_DBFS
from avloc.evaluation.bootstrap import interval
from avloc.evaluation.evaluator import evaluate
from avloc.evaluation.results import Evaluation, metric
from avloc.machine.devices import to_host
from avloc.types import Batch, Prediction

if TYPE_CHECKING:
    from avloc.scoring.run import Scorer

CALLED = "called sounding"
"""Share of items, in per cent, in which some score reaches the threshold."""

OWN = "its own sound"


def silence(batch: Batch) -> Int16[np.ndarray, "B T"]:
    """Zeros."""
    return np.zeros(np.shape(batch.waveform), np.int16)


def white_noise(batch: Batch) -> Int16[np.ndarray, "B T"]:
    """As loud as the clips of scenes are made; the same for an item in any batch."""
    level = 32768 * 10 ** (EQUAL_RMS_DBFS / 20)
    sounds = [
        np.random.default_rng((0, int(i))).normal(0, level, np.shape(batch.waveform)[1])
        for i in np.asarray(batch.index)
    ]
    return np.clip(np.round(sounds), -32768, 32767).astype(np.int16)


SOUNDS: Mapping[str, Callable[[Batch], Int16[np.ndarray, "B T"]]] = {
    "silence": silence,
    "white noise": white_noise,
}
"""What stands in place of the sound, by name."""


def with_sound(
    batches: Iterable[Batch], sound: Callable[[Batch], Int16[np.ndarray, "B T"]]
) -> Iterator[Batch]:
    """The same batches with another sound; annotation stays, so that places can be scored."""
    for batch in batches:
        yield batch._replace(waveform=sound(batch))


class Watched:
    """A predictor that remembers in which items anything is called sounding.

    Args:
      predict: of a batch.
      categories: of its clusters; None: each cluster is a kind.
      threshold: the score from which on a kind is called sounding.
    """

    def __init__(
        self,
        predict: Callable[[Batch], Prediction],
        categories: CategoryMap | None,
        threshold: float,
    ):
        self._predict, self.categories, self._threshold = predict, categories, threshold
        self._called: list[Bool[np.ndarray, " B"]] = []
        self._videos: list[np.ndarray] = []

    def __call__(self, batch: Batch) -> Prediction:
        found, mask = self._predict(batch), np.asarray(batch.mask)
        scores = to_host(found.scores).astype(np.float32)
        if self.categories is not None and scores.shape[-1] > 1:
            scores = self.categories.strongest(scores)
        self._called.append((scores >= self._threshold).any(-1)[mask])
        self._videos.append(np.asarray(batch.video)[mask])
        return found

    def again(self) -> Watched:
        """The same, of other batches."""
        return Watched(self._predict, self.categories, self._threshold)

    def row(self, found: Evaluation) -> Evaluation:
        """What a reader wants of an evaluation made with it: is it dark, and where is it lit."""
        called, videos = np.concatenate(self._called), np.concatenate(self._videos)
        places = {name: x for name, x in found.metrics.items() if "IoU" in name or name == "AUC"}
        shown = {CALLED: metric(interval(called, videos), 100), **places}
        return replace(
            found,
            metrics=shown,
            undefined={},
            items=(),
            clusters=(),
            named_from=self._threshold,
            named_by="",
        )


def other_sounds(
    scorer: Scorer, split: str, own: Watched, found: Evaluation
) -> dict[str, Evaluation]:
    """Rows of a split with its own sound, silence and noise; none where it stores spectrograms.

    Args:
      scorer: gives the batches.
      split: its name.
      own: the predictor that made `found`.
      found: with the items' own sounds.
    """
    if not found.metrics or not len(scorer.dataset.source(split)[0]["waveform"]):
        return {}
    rows = {OWN: own.row(found)}
    for name, sound in SOUNDS.items():
        watched = own.again()
        batches = with_sound(scorer.batches(split, f"scoring {name} on {split}"), sound)
        again = evaluate(watched, batches, found.protocol, own.categories, scorer.class_names)
        rows[name] = watched.row(again)
    return rows
