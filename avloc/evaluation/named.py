"""What `avloc localize` would name in scenes: the categories whose score reaches its threshold.

A sound from off screen is nothing to name: the score says what sounds and is in the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from avloc.evaluation.bootstrap import Interval
from avloc.evaluation.items import Items
from avloc.evaluation.perception import heard_truth, micro
from avloc.evaluation.results import metric


def naming(
    items: Items, names: Sequence[str], threshold: float, resample: Callable[..., Interval]
) -> tuple[dict[str, Any], list[str]]:
    """Scores the names given at a threshold, on every item whose sounds all have a known category.

    These are the items of `perceive`, boxed or not. `named precision`: share of the pairs of an
    item and a category named that sound in the picture. `named recall`: share of the pairs that
    sound in the picture that are named. Undefined metrics are left out: precision if nothing is
    named, recall if nothing sounds in the picture, both if the method does not distinguish
    categories.

    Args:
      items: as `collect` gives them for scenes.
      names: of the categories.
      threshold: the score from which on a category is named.
      resample: gives a value its interval over videos.

    Returns:
      Metrics, and for each item a description of what is named, right or wrong, and missed.
    """
    told = [""] * len(items.index)
    if not items.scores.shape[1]:
        return {}, told
    sounds = heard_truth(items, len(names))[0]
    # A category with one object in the picture and another outside is there to be named.
    seen = (items.sounding[..., None] & (items.labels[..., None] == np.arange(len(names)))).any(1)
    known = sounds.any(1)
    named = items.scores >= threshold
    for place in np.flatnonzero(known):
        told[place] = _in_words(
            items.scores[place], named[place], seen[place], sounds[place], names
        )
    seen, named, videos = seen[known], named[known], items.video[known]
    found = {}
    for name, whole in (("named precision", named), ("named recall", seen)):
        if whole.any():
            found[name] = metric(micro(named & seen, whole, videos, resample))
    return found, told


def _in_words(
    scores: Float[np.ndarray, " N"],
    named: Bool[np.ndarray, " N"],
    seen: Bool[np.ndarray, " N"],
    sounds: Bool[np.ndarray, " N"],
    names: Sequence[str],
) -> str:
    """Each category named, and each missed: `cello right 0.9000; flute missed 0.1000`."""
    told = []
    for n in np.flatnonzero(named | seen):
        wrong = "off screen" if sounds[n] else "wrong"
        verdict = ("right" if seen[n] else wrong) if named[n] else "missed"
        told.append(f"{names[n]} {verdict} {scores[n]:.4f}")
    return "; ".join(told)
