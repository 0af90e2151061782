"""How long phases last: passes, a least number of steps, and an end where validation says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from avloc.types import Scan, TrainState

# A smaller gain on the validation split is none: 76 clips tell 0.9 from 0.91 by luck.
_GAIN = 0.01
_APART = 50  # steps between two checks, at least


def passes(method: Any, split: str, epochs: int, steps: int) -> int:
    """Passes over a split that are at least `epochs`, and at least `steps` steps.

    Args:
      method: with `config` and `info`.
      split: of the data set.
      epochs, steps: as in the config.
    """
    # A split that is not there is told before training, not here.
    each = max(1, method.info.num_examples.get(split, 0) // method.config.batch_size)
    return max(epochs, -(-steps // each))


def validation(
    method: Any, right: Callable[..., Any]
) -> Callable[[TrainState, Scan], float] | None:
    """The share of the validation split that `right` accepts; None where none is to be looked at.

    Args:
      method: with `config` and `info`.
      right: of variables, aux and batch: which items are right, and which are items.
    """
    split = method.config.data.validation
    if not method.config.stage_one.patience or not method.info.num_examples.get(split):
        return None

    def share(state: TrainState, scan: Scan) -> float:
        good, real = scan(right, state, split)
        return float(np.mean(good[real]))

    return share


def stale(history: Sequence[dict[str, float]], *, patience: int, least: int) -> bool:
    """Whether the last `patience` checks found nothing better than those before them.

    Args:
      history: metrics of the phase's passes; `steps` taken in it so far, and `validation` where it
        was checked.
      patience: checks; 0: never.
      least: steps that it takes in any case.
    """
    if not patience or not history or history[-1]["steps"] < least:
        return False
    found = [row["validation"] for row in history if "validation" in row]
    before, after = found[:-patience], found[-patience:]
    return bool(before) and max(after) < max(before) + _GAIN


def due(history: Sequence[dict[str, float]], steps: int) -> bool:
    """Whether a pass that ends after `steps` steps of its phase is to be checked."""
    checked = [row["steps"] for row in history if "validation" in row]
    return steps - (checked[-1] if checked else 0) >= _APART
