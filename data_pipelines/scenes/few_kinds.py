"""Scenes of two or three kinds of clips, of the same geometry as those of four."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from jaxtyping import Int

from avloc.data_pipelines.scenes.plan import SYNTHETIC, Recipe, ScenePlan, plan_scenes


def plan_mixed(
    kinds: Int[np.ndarray, " N"], videos: Int[np.ndarray, " N"], count: int, *, seed: int
) -> ScenePlan:
    """Draws scenes of four clips in a 2x2 grid, however many kinds there are, from two up.

    Of four kinds or more, each clip is of its own kind and two are heard (`SYNTHETIC`). Of two or
    three, every kind but one is heard, in one clip each, and clips of the silent kind fill the
    other cells: so a cell is as large as in scenes of four, and what sounds is in the picture once.

    Args:
      kinds: class of each clip, or its video where classes are not known.
      videos: of each clip.
      count: number of scenes.
      seed: any non-negative integer.

    Raises:
      ValueError: there are fewer than two kinds, or all of them are of one video.
    """
    there = len(np.unique(kinds))
    if there >= SYNTHETIC.sounding + SYNTHETIC.silent:
        return plan_scenes(kinds, videos, count, SYNTHETIC, seed=seed)
    one_each = Recipe(max(1, there - 1), 1, grid=(1, max(2, there)))
    plan = plan_scenes(kinds, videos, count, one_each, seed=seed)
    return _filled(plan, kinds, videos, seed)


def _filled(
    plan: ScenePlan, kinds: Int[np.ndarray, " N"], videos: Int[np.ndarray, " N"], seed: int
) -> ScenePlan:
    """The plan with clips of the silent kind in the cells that it leaves, cells in random order."""
    rng = np.random.default_rng((seed, 1))
    cells = SYNTHETIC.sounding + SYNTHETIC.silent
    piles = {kind: deque(rng.permutation(np.flatnonzero(kinds == kind))) for kind in set(kinds)}
    made: dict[str, list[Any]] = {"clips": [], "sounding": []}
    for clips, sounding in zip(plan.clips, plan.sounding, strict=True):
        (silent,) = clips[~sounding]
        pile, used = piles[kinds[silent]], {int(videos[clip]) for clip in clips}
        more: list[int] = []
        for _ in range(cells - len(clips)):
            # Another video if there is one, then another clip, else the same once more.
            found = min(pile, key=lambda clip: (int(videos[clip]) in used, clip in (silent, *more)))
            pile.remove(found)
            pile.append(found)
            used.add(int(videos[found]))
            more.append(int(found))
        order = rng.permutation(cells)
        made["clips"].append(np.concatenate([clips, more]).astype(int)[order])
        made["sounding"].append(np.concatenate([sounding, [False] * len(more)]).astype(bool)[order])
    heard = plan.recipe.sounding
    gain = SYNTHETIC.gain_db
    return ScenePlan(
        clips=np.array(made["clips"]),
        sounding=np.array(made["sounding"]),
        gains_db=rng.uniform(-gain, gain, (len(plan.clips), cells)),
        recipe=SYNTHETIC._replace(sounding=heard, silent=cells - heard),
    )
