"""Cocktail-party scenes from any set of single-source clips.

The recipe of MUSIC-Synthetic (CSOL 4.1): clips of four different categories in a 2x2 grid, two
of them heard, jittered in gain. A plan is drawn first, from labels and videos alone; scenes are
then made one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int16, Int32, UInt8
from PIL import Image

from data_pipelines.features import clip_example


class Clip(NamedTuple):
    """A decoded single-source clip.

    Attributes:
      frame: RGB.
      waveform: mono sound.
      boxes: `[ymin, xmin, ymax, xmax]` in 0..1 of the frame; all zero: place not known.
      labels: category of each box, -1 where not known.
    """

    frame: UInt8[np.ndarray, "H W 3"]
    waveform: Int16[np.ndarray, " T"]
    boxes: Float[np.ndarray, "M 4"]
    labels: Int[np.ndarray, " M"]


class Scene(NamedTuple):
    """Clips put side by side. Fields as in `Clip`; `sounding` says which objects are heard."""

    frame: UInt8[np.ndarray, "H W 3"]
    waveform: Int16[np.ndarray, " T"]
    boxes: Float32[np.ndarray, "M 4"]
    labels: Int32[np.ndarray, " M"]
    sounding: Bool[np.ndarray, " M"]


class ScenePlan(NamedTuple):
    """Which clip goes where. Cells run left to right, top to bottom.

    Attributes:
      clips: place of each cell's clip in the single-source set.
      sounding: whether the clip is heard.
      gains_db: gain of the clip in the mixture, in dB.
      grid: rows and columns.
    """

    clips: Int[np.ndarray, "S cells"]
    sounding: Bool[np.ndarray, "S cells"]
    gains_db: Float[np.ndarray, "S cells"]
    grid: tuple[int, int]


def plan_scenes(
    labels: Sequence[int] | Int[np.ndarray, " N"] | None,
    videos: Sequence | np.ndarray,
    count: int,
    *,
    seed: int,
    grid: tuple[int, int] = (2, 2),
    sounding: int = 2,
    jitter_db: float = 3.0,
) -> ScenePlan:
    """Draws `count` scenes; the same arguments give the same plan.

    A scene holds clips of different categories and different videos. Every category appears, and
    sounds, equally often to within a few scenes, and so do the clips of one category. Without
    labels every video counts as a category of its own.

    Args:
      labels: category of each clip; clips of -1 are left out. None, or all -1: not known.
      videos: name or number of the video of each clip.
      count: number of scenes.
      seed: any non-negative integer.
      grid: rows and columns of the scene; their product is the number of clips in it.
      sounding: how many of the clips are heard.
      jitter_db: gains are uniform in -jitter_db..jitter_db.

    Raises:
      ValueError: the set has too few categories or videos, or `sounding` is not in 1..cells.
    """
    cells = grid[0] * grid[1]
    if not 1 <= sounding <= cells:
        raise ValueError(f"sounding must be in 1..{cells} for a grid of {grid}, not {sounding}")
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
    if len(piles) < cells or len(np.unique(videos[groups >= 0])) < cells:
        raise ValueError(
            f"a scene of {cells} clips needs clips of {cells} different "
            f"{'categories, each from a video of its own' if known else 'videos'}, "
            f"but the set has {len(piles)} {'categories' if known else 'videos'}: "
            "add clips or choose a smaller grid"
        )
    heard = dict.fromkeys(piles, 0)
    queue: deque[int] = deque()
    plan = ScenePlan(
        clips=np.zeros((count, cells), np.int64),
        sounding=np.zeros((count, cells), bool),
        gains_db=rng.uniform(-jitter_db, jitter_db, (count, cells)),
        grid=grid,
    )
    for scene in range(count):
        chosen = _choose(queue, piles, videos, cells, rng)
        order = rng.permutation(cells)
        plan.clips[scene] = [chosen[i][1] for i in order]
        members = [chosen[i][0] for i in order]
        # The least heard first; ties by lot.
        rank = np.lexsort((rng.random(cells), [heard[g] for g in members]))
        plan.sounding[scene, rank[:sounding]] = True
        for cell in rank[:sounding]:
            heard[members[cell]] += 1
    return plan


def _choose(
    queue: deque[int],
    piles: dict[int, deque[int]],
    videos: Int[np.ndarray, " N"],
    cells: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """The next category and clip of each cell.

    The queue is an endless row of shuffled rounds over all categories. A category that does not
    fit into this scene keeps its place for the next one.
    """
    chosen: dict[int, int] = {}
    waiting: list[int] = []
    rounds = 0
    while len(chosen) < cells:
        if not queue:
            rounds += 1
            if rounds > 3:
                raise ValueError(
                    f"no {cells} clips of different categories and different videos could be "
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


def compose(
    clips: Sequence[Clip],
    sounding: Bool[np.ndarray, " cells"],
    gains_db: Float[np.ndarray, " cells"],
    grid: tuple[int, int] = (2, 2),
    size: int | None = None,
) -> Scene:
    """Puts clips into the cells of a grid and mixes what is heard of them.

    Every frame is resized to its cell (antialiased; its aspect becomes that of the cell), boxes
    move along, and an object whose place is not known gets its whole cell as box. The mixture is
    the mean of the sounding waveforms, each times `10 ** (gain / 20)`; where its peak would pass
    full scale, all of it is turned down to full scale, so nothing is clipped.

    Args:
      clips: one a cell, left to right and top to bottom, with waveforms of one length.
      sounding: whether the clip is heard; at least one.
      gains_db: gain of each clip, in dB.
      grid: rows and columns.
      size: side of the scene in pixels; None: height and width of the first clip's frame.
    """
    rows, columns = grid
    if not len(clips) == len(sounding) == len(gains_db) == rows * columns:
        raise ValueError(f"a grid of {grid} takes {rows * columns} clips, not {len(clips)}")
    if not np.any(sounding):
        raise ValueError("a scene needs at least one sounding clip")
    height, width = clips[0].frame.shape[:2] if size is None else (size, size)
    tops = np.round(np.linspace(0, height, rows + 1)).astype(int)
    lefts = np.round(np.linspace(0, width, columns + 1)).astype(int)
    canvas = np.zeros((height, width, 3), np.uint8)
    boxes, labels, flags = [], [], []
    for i, clip in enumerate(clips):
        (top, bottom), (left, right) = tops[i // columns :][:2], lefts[i % columns :][:2]
        cell = Image.fromarray(clip.frame).resize(
            (right - left, bottom - top), Image.Resampling.BILINEAR
        )
        canvas[top:bottom, left:right] = np.asarray(cell)
        inner = np.array(clip.boxes, np.float64)
        inner[~inner.any(axis=1)] = [0, 0, 1, 1]
        shape = np.array([bottom - top, right - left] * 2)
        moved = inner * shape + [top, left, top, left]
        boxes.append(moved / [height, width, height, width])
        labels.append(clip.labels)
        flags.append(np.full(len(clip.labels), bool(sounding[i])))
    return Scene(
        frame=canvas,
        waveform=_mix([c.waveform for c in clips], sounding, gains_db),
        boxes=np.concatenate(boxes).astype(np.float32),
        labels=np.concatenate(labels).astype(np.int32),
        sounding=np.concatenate(flags),
    )


def _mix(
    waveforms: Sequence[Int16[np.ndarray, " T"]],
    sounding: Bool[np.ndarray, " cells"],
    gains_db: Float[np.ndarray, " cells"],
) -> Int16[np.ndarray, " T"]:
    heard = np.flatnonzero(sounding)
    gains = 10 ** (np.asarray(gains_db, np.float64)[heard] / 20)
    mixture = gains @ np.stack([waveforms[i] for i in heard]).astype(np.float64) / len(heard)
    return np.round(mixture / max(1.0, np.abs(mixture).max() / 32767)).astype(np.int16)


def scenes(
    plan: ScenePlan,
    get_clip: Callable[[int], Clip],
    *,
    size: int | None = None,
    prefix: str = "scene",
) -> Iterator[dict]:
    """Makes the scenes of a plan one by one, as examples of `features.clip_features`.

    A scene's `video` is its own id, so that what is bootstrapped over is the scene.

    Args:
      plan: of `plan_scenes`.
      get_clip: the clip at a place of the single-source set.
      size: see `compose`.
      prefix: ids are `PREFIX_00000` and up.
    """
    for i, (places, sounding, gains) in enumerate(
        zip(plan.clips, plan.sounding, plan.gains_db, strict=True)
    ):
        scene = compose([get_clip(int(p)) for p in places], sounding, gains, plan.grid, size)
        name = f"{prefix}_{i:05d}"
        yield clip_example(
            id=name,
            video=name,
            second=0,
            frames=[scene.frame],
            waveform=scene.waveform,
            boxes=scene.boxes,
            labels=scene.labels,
            sounding=scene.sounding,
        )
