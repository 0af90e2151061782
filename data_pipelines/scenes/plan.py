"""What goes into cocktail-party scenes: recipes, and plans drawn from them.

A scene shows clips of different categories in a grid. Some of them are heard, and clips that are
not shown may be heard too. A recipe says how many, and how loud; a plan says which clips, using
only labels and videos.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Recipe(NamedTuple):
    """What a scene is made of; without arguments, MUSIC-Synthetic's (CSOL 4.1).

    Attributes:
      sounding: how many of the clips that are shown are heard.
      silent: how many are not.
      offscreen: how many further clips, of yet other categories, are heard but not shown.
      grid: rows and columns; their product is `sounding + silent`.
      gain_db: gains are uniform in -gain_db..gain_db.
      equal: whether clips are brought to `mixing.EQUAL_RMS_DBFS` before they get their gains.
      quieter_db: where given, one of the sounding clips has the mean gain of the others less a
        number of dB uniform in this range, instead of a gain of its own.
    """

    sounding: int = 2
    silent: int = 2
    offscreen: int = 0
    grid: tuple[int, int] = (2, 2)
    gain_db: float = 3.0
    equal: bool = False
    quieter_db: tuple[float, float] | None = None


SYNTHETIC = Recipe()
"""MUSIC-Synthetic and VGG-Synthetic: two of four heard, gains within 3 dB either way."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "2_2_0": SYNTHETIC,
        "2_2_1": Recipe(2, 2, 1, (2, 2), gain_db=6.0, equal=True),
        "3_3_2": Recipe(3, 3, 2, (2, 3), gain_db=6.0, equal=True),
        "4_4_3": Recipe(4, 4, 3, (2, 4), gain_db=6.0, equal=True),
        "uneven": Recipe(2, 2, 0, (2, 2), gain_db=0.0, equal=True, quieter_db=(6.0, 12.0)),
    }
)
"""Recipes by name.

`2_2_1` is that of MUSIC- and VGG-Unconstrained (IEr 4.1), `3_3_2` and `4_4_3` the harder levels of
IEr's supplement, table 9: sounding, silent and off-screen clips. Their grids are two, three and
four cells wide and two high. IEr does not give the gains: here sources are made equally loud and
then get gains in -6..6 dB, so two of them differ by up to 12 dB. In `uneven` one of two sounding
clips is 6 to 12 dB below the other.
"""


class SceneSplit(NamedTuple):
    """A split of scenes that a data set declares.

    Attributes:
      source: split that its clips are from.
      recipe: name in `RECIPES`.
      count: number of scenes.
      placed: whether only clips whose objects have boxes are taken, if there are any.
      any_frame: whether a clip gives a random frame, as in the papers, and not its middle one.
      boxed_in: a split; of its categories only those that have boxes there are taken, as a detector
        knew them, if there are any. Empty: all are.
    """

    source: str
    recipe: str
    count: int
    placed: bool = False
    any_frame: bool = False
    boxed_in: str = ""

    def describe(self) -> dict[str, Any]:
        """The recipe in words and numbers, for metadata."""
        return {"name": self.recipe, **RECIPES[self.recipe]._asdict()}


class ScenePlan(NamedTuple):
    """Which clip goes where. Cells run left to right, top to bottom; then come clips off screen.

    Attributes:
      clips: index of each clip in the single-source set.
      sounding: whether the clip is heard.
      gains_db: gain of the clip in the mixture, in dB.
      recipe: what was planned.
    """

    clips: Int[np.ndarray, "S clips"]
    sounding: Bool[np.ndarray, "S clips"]
    gains_db: Float[np.ndarray, "S clips"]
    recipe: Recipe


def plan_scenes(
    labels: Sequence[int] | Int[np.ndarray, " N"] | None,
    videos: Sequence | np.ndarray,
    count: int,
    recipe: Recipe = SYNTHETIC,
    *,
    seed: int,
) -> ScenePlan:
    """Draws `count` scenes; the same arguments give the same plan.

    A scene holds clips of different categories and different videos. Every category appears,
    sounds, is off screen and is the quieter one equally often to within a few scenes, and so do
    the clips of one category appear. Without labels every video counts as a category of its own.

    Args:
      labels: category of each clip; clips of -1 are left out. None, or all -1: not known.
      videos: name or number of the video of each clip.
      count: number of scenes.
      recipe: what each of them is made of.
      seed: any non-negative integer.

    Raises:
      ValueError: the set has too few categories or videos, or the recipe contradicts itself.
    """
    cells, clips = _sizes(recipe)
    _, videos = np.unique(np.asarray(videos), return_inverse=True)
    known = labels is not None and bool(np.any(np.asarray(labels) >= 0))
    groups = np.asarray(labels) if known else videos
    if len(groups) != len(videos):
        raise ValueError(f"{len(groups)} labels do not fit {len(videos)} clips: give one a clip")
    rng = np.random.default_rng(seed)
    piles = {
        int(g): deque(rng.permutation(np.flatnonzero(groups == g)).tolist())
        for g in np.unique(groups[groups >= 0])
    }
    if len(piles) < clips or len(np.unique(videos[groups >= 0])) < clips:
        raise ValueError(
            f"a scene of {clips} clips needs clips of {clips} different "
            f"{'categories, each from a video of its own' if known else 'videos'}, "
            f"but the set has {len(piles)} {'categories' if known else 'videos'}: "
            "add clips or choose a recipe with fewer"
        )
    plan = ScenePlan(
        clips=np.zeros((count, clips), np.int64),
        sounding=np.zeros((count, clips), bool),
        gains_db=rng.uniform(-recipe.gain_db, recipe.gain_db, (count, clips)),
        recipe=recipe,
    )
    hidden, heard, quiet = (_Turns(piles, rng) for _ in range(3))
    queue: deque[int] = deque()
    for scene in range(count):
        chosen = _choose(queue, piles, videos, clips, rng)
        order = rng.permutation(clips)
        if recipe.offscreen:
            out = hidden.take([chosen[i][0] for i in order], recipe.offscreen)
            order = np.concatenate([np.delete(order, out), order[out]])
        plan.clips[scene] = [chosen[i][1] for i in order]
        members = [chosen[i][0] for i in order]
        sounding = heard.take(members[:cells], recipe.sounding)
        plan.sounding[scene, sounding] = True
        plan.sounding[scene, cells:] = True
        if recipe.quieter_db:
            (turn,) = quiet.take([members[cell] for cell in sounding], 1)
            gains = plan.gains_db[scene]
            others = np.delete(sounding, turn)
            gains[sounding[turn]] = gains[others].mean() - rng.uniform(*recipe.quieter_db)
    return plan


def _sizes(recipe: Recipe) -> tuple[int, int]:
    """Clips that are shown, and all clips, of a scene."""
    rows, columns = recipe.grid
    shown = recipe.sounding + recipe.silent
    if recipe.sounding < 1 or min(recipe.silent, recipe.offscreen) < 0 or shown != rows * columns:
        raise ValueError(
            "a recipe needs a sounding clip and one clip per cell: "
            f"{recipe.sounding} sounding and {recipe.silent} silent ones do not fill a grid of "
            f"{recipe.grid}"
        )
    if recipe.quieter_db and recipe.sounding < 2:
        raise ValueError("quieter_db sets one sounding clip below others: let two or more sound")
    return shown, shown + recipe.offscreen


class _Turns:
    """Gives each category its turn, those with fewest turns first; ties are random."""

    def __init__(self, groups: Iterable[int], rng: np.random.Generator) -> None:
        self._had = dict.fromkeys(groups, 0)
        self._rng = rng

    def take(self, members: Sequence[int], count: int) -> Int[np.ndarray, " count"]:
        """Indices in `members` of the `count` whose turn it is."""
        lot = self._rng.random(len(members))
        places = np.lexsort((lot, [self._had[g] for g in members]))[:count]
        for place in places:
            self._had[members[place]] += 1
        return places


def _choose(
    queue: deque[int],
    piles: dict[int, deque[int]],
    videos: Int[np.ndarray, " N"],
    count: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """The next categories, and a clip of each.

    The queue is an endless sequence of shuffled rounds over all categories. A category that does
    not fit into this scene keeps its position for the next one.
    """
    chosen: dict[int, int] = {}
    waiting: list[int] = []
    rounds = 0
    while len(chosen) < count:
        if not queue:
            rounds += 1
            if rounds > 3:
                raise ValueError(
                    f"no {count} clips of different categories and different videos could be "
                    "drawn: too many categories share their videos"
                )
            queue.extend(rng.permutation(list(piles)).tolist())
        group = queue.popleft()
        taken = {videos[clip] for clip in chosen.values()}
        fitting = (clip for clip in piles[group] if videos[clip] not in taken)
        clip = None if group in chosen else next(fitting, None)
        if clip is None:
            waiting.append(group)
            continue
        piles[group].remove(clip)
        piles[group].append(clip)
        chosen[group] = clip
    queue.extendleft(reversed(waiting))
    return list(chosen.items())
