"""The score from which on a category counts as sounding, chosen for a network without any label.

Clips of the validation split are put together to scenes of four, of which two sound, as methods
train on. What a clip holds is what the network itself takes it for, the cluster that it assigns to
it, so no label is read, and never a test item. Of all thresholds the one is taken at which the
names of these scenes have the best F1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.checks.preview import spread
from avloc.data_pipelines.media.waveform import SILENCE
from avloc.data_pipelines.scenes.mixing import Clip, compose
from avloc.machine.devices import to_host
from avloc.runs.thresholds import Sounding
from avloc.types import Prediction

if TYPE_CHECKING:
    from avloc.scoring.run import Network, Scorer

Record = Mapping[str, Any]

CLIPS, SCENES = 200, 100
"""Validation clips that are looked at, evenly spread, and scenes made of them."""

_CELLS = 4
_GRID = np.arange(1, 100) / 100


def of_network(scorer: Scorer, network: Network, categories: CategoryMap | None) -> Sounding:
    """The threshold of one of a run's networks; the config's where none can be chosen."""
    config, dataset = scorer.config, scorer.dataset
    split = config.data.validation or "validation"
    if split not in dataset.info.num_examples:
        return _configured(scorer, "the data set has no validation split")
    source = dataset.source(split)
    clips = [source[int(place)] for place in spread(len(source), CLIPS)]
    clips = [clip for clip in clips if len(clip["objects"]["label"]) <= 1]
    apply, side = scorer.predictor(network), config.evaluation.scene_size or config.image_size

    def predict(records: Sequence[Record]) -> Prediction:
        size = config.image_size if records is clips else side
        parts = []
        for batch in scorer.batches_of(records, (size, size)):
            parts.append([field[np.asarray(batch.mask)] for field in to_host(apply(batch))])
        return Prediction(*map(np.concatenate, zip(*parts, strict=True)))

    found = "its clips hold several objects" if not clips else ""
    found = found or choose(clips, predict, categories, side)
    return found if isinstance(found, Sounding) else _configured(scorer, found)


def _configured(scorer: Scorer, why: str) -> Sounding:
    return Sounding(float(scorer.config.inference.sounding), f"the config's, as {why}")


def choose(
    clips: Sequence[Record],
    predict: Callable[[Sequence[Record]], Prediction],
    categories: CategoryMap | None,
    side: int,
) -> Sounding | str:
    """The threshold of a network, or why none can be chosen.

    Args:
      clips: records of single sources that it was not trained on, nor is to be tested on.
      predict: of records; NumPy arrays.
      categories: of its clusters; None: each cluster is a kind.
      side: of the scenes, in pixels.
    """
    if any(not len(clip["waveform"]) for clip in clips):
        return "the data set stores spectrograms, which cannot be mixed"
    found = predict(clips)
    if found.scores.shape[-1] == 1:
        return "the method does not tell kinds apart"
    kinds = np.asarray(found.cluster)
    if categories is not None:
        kinds = np.where(kinds >= 0, np.array(categories.of_cluster)[kinds], -1)
    loud = [np.abs(clip["waveform"].astype(np.int32)).max() >= SILENCE * 32768 for clip in clips]
    kinds = np.where(loud, kinds, -1)
    if len(np.unique(kinds[kinds >= 0])) < 2:
        return "its validation clips are all taken for one kind"
    records, truth = scenes(clips, kinds, side)
    scores = np.asarray(predict(records).scores, np.float32)
    scores = scores if categories is None else categories.strongest(scores)
    wanted = (truth[..., None] == np.arange(scores.shape[-1])).any(1)
    value, precision, recall = best(scores, wanted)
    rule = (
        f"chosen on {len(records)} scenes of {_CELLS} validation clips, of which "
        f"{truth.shape[1]} sound{'s' * (truth.shape[1] == 1)}, with the network's own clusters as "
        f"truth: there the names have precision {precision:.2f} and recall {recall:.2f}"
    )
    return Sounding(value, rule, len(records), precision, recall)


def best(
    scores: Float[np.ndarray, "S N"], wanted: Bool[np.ndarray, "S N"]
) -> tuple[float, float, float]:
    """The threshold of the best F1 over pairs of scene and kind, its precision and its recall.

    Of several equally good ones, hundredths all, the middle one.
    """
    named = scores[..., None] >= _GRID.astype(np.float32)
    right = (named & wanted[..., None]).sum((0, 1))
    score = 2 * right / (named.sum((0, 1)) + wanted.sum())
    among = np.flatnonzero(score >= score.max() - 1e-12)
    place = among[(len(among) - 1) // 2]
    precision = right[place] / max(named[..., place].sum(), 1)
    return float(_GRID[place]), float(precision), float(right[place] / wanted.sum())


def scenes(
    clips: Sequence[Record], kinds: Int[np.ndarray, " S"], side: int, count: int = SCENES
) -> tuple[list[Record], Int[np.ndarray, "count heard"]]:
    """Scenes of four clips, and the kinds that sound in each: two, or one where there are but two.

    The silent clips are of other kinds, each of another one where there are enough.

    Args:
      clips: records; equally loud in the scenes.
      kinds: of each; -1 leaves it out. At least two different ones.
      side: of the scenes, in pixels.
      count: number of scenes.
    """
    rng = np.random.default_rng(0)
    there = np.unique(kinds[kinds >= 0])
    heard = min(2, len(there) - 1)
    made, truth = [], np.zeros((count, heard), int)
    for scene in range(count):
        order = rng.permutation(there)
        truth[scene], others = order[:heard], order[heard:]
        of_cell = np.r_[order[:heard], others[np.arange(_CELLS - heard) % len(others)]]
        place = rng.permutation(_CELLS)
        chosen = [clips[rng.choice(np.flatnonzero(kinds == kind))] for kind in of_cell[place]]
        made.append(_scene(chosen, place < heard, side, scene))
    return made, truth


def _scene(
    chosen: Sequence[Record], sounding: Bool[np.ndarray, " 4"], side: int, number: int
) -> Record:
    nowhere, nothing = np.zeros((1, 4)), np.array([-1])
    parts = [
        Clip(c["frames"][len(c["frames"]) // 2], c["waveform"], nowhere, nothing) for c in chosen
    ]
    made = compose(parts, sounding, np.zeros(_CELLS), size=(side, side), equal=True)
    return {
        "id": f"mixture {number}".encode(),
        "video": f"mixture {number}".encode(),
        "frames": made.frame[None],
        "waveform": made.waveform,
        "objects": {
            "bbox": made.boxes,
            "label": made.labels,
            "sounding": made.sounding,
            "offscreen": made.offscreen,
            "level_db": made.level_db,
        },
    }
