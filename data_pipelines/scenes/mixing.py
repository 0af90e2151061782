"""Cocktail-party scenes from any set of single-source clips.

The content of scenes is planned first (`plan`); scenes are then made one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int16, Int32, UInt8
from PIL import Image

from avloc.data_pipelines.records.features import clip_example
from avloc.data_pipelines.scenes.plan import ScenePlan

EQUAL_RMS_DBFS = -26.0
"""RMS level, in dB of full scale, of clips that are made equally loud."""

_FULL_SCALE = 32768.0


class Clip(NamedTuple):
    """A decoded single-source clip.

    Attributes:
      frame: RGB.
      waveform: mono sound.
      boxes: `[ymin, xmin, ymax, xmax]` in 0..1 of the frame; all zero: position not known.
      labels: category of each box, -1 where not known.
    """

    frame: UInt8[np.ndarray, "H W 3"]
    waveform: Int16[np.ndarray, " T"]
    boxes: Float[np.ndarray, "M 4"]
    labels: Int[np.ndarray, " M"]


class Scene(NamedTuple):
    """Clips put side by side, those that are off screen last. Fields as in `Clip`, and

    Attributes:
      sounding: whether the object is heard.
      offscreen: whether it is not in the picture; its box is all zero.
      level_db: RMS of the object's own sound within the mixture, in dB of full scale;
        -inf where it is silent.
    """

    frame: UInt8[np.ndarray, "H W 3"]
    waveform: Int16[np.ndarray, " T"]
    boxes: Float32[np.ndarray, "M 4"]
    labels: Int32[np.ndarray, " M"]
    sounding: Bool[np.ndarray, " M"]
    offscreen: Bool[np.ndarray, " M"]
    level_db: Float32[np.ndarray, " M"]


def compose(
    clips: Sequence[Clip],
    sounding: Bool[np.ndarray, " clips"],
    gains_db: Float[np.ndarray, " clips"],
    grid: tuple[int, int] = (2, 2),
    size: tuple[int, int] | None = None,
    *,
    equal: bool = False,
) -> Scene:
    """Puts clips into the cells of a grid and mixes those that are heard.

    Every frame is resized to its cell (antialiased; its aspect becomes that of the cell) together
    with its boxes, and an object whose position is not known gets its whole cell as box. The
    mixture is the mean of the sounding waveforms, each times `10 ** (gain / 20)`; if its peak would
    exceed full scale, all of it is scaled down to full scale, so nothing is clipped.

    Args:
      clips: one per cell, left to right and top to bottom, then those off screen; waveforms of one
        length.
      sounding: whether the clip is heard; at least one is, and every one off screen.
      gains_db: gain of each clip, in dB.
      grid: rows and columns.
      size: height and width of the scene in pixels; None: those of the first clip's frame, where a
        grid wider than high squeezes its frames.
      equal: whether waveforms are first brought to `EQUAL_RMS_DBFS`; one of zeros stays silent.
    """
    rows, columns = grid
    cells = rows * columns
    if len(clips) < cells or not len(clips) == len(sounding) == len(gains_db):
        raise ValueError(f"a grid of {grid} takes {cells} clips, not {len(clips)}")
    if not np.any(sounding[:cells]):
        raise ValueError("a scene needs at least one sounding clip")
    if not np.all(sounding[cells:]):
        raise ValueError("a clip off screen must sound")
    height, width = clips[0].frame.shape[:2] if size is None else size
    tops = np.round(np.linspace(0, height, rows + 1)).astype(int)
    lefts = np.round(np.linspace(0, width, columns + 1)).astype(int)
    canvas = np.zeros((height, width, 3), np.uint8)
    boxes = []
    for i, clip in enumerate(clips[:cells]):
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
    # Off screen, a clip is one sound, however many objects make it.
    labels = [c.labels for c in clips[:cells]] + [c.labels[:1] for c in clips[cells:]]
    waveform, levels = _mix([c.waveform for c in clips], sounding, gains_db, equal)
    objects = [len(some) for some in labels]
    return Scene(
        frame=canvas,
        waveform=waveform,
        boxes=np.concatenate([*boxes, np.zeros((len(clips) - cells, 4))]).astype(np.float32),
        labels=np.concatenate(labels).astype(np.int32),
        sounding=np.repeat(np.asarray(sounding, bool), objects),
        offscreen=np.repeat(np.arange(len(clips)) >= cells, objects),
        level_db=np.repeat(levels, objects).astype(np.float32),
    )


def _mix(
    waveforms: Sequence[Int16[np.ndarray, " T"]],
    sounding: Bool[np.ndarray, " clips"],
    gains_db: Float[np.ndarray, " clips"],
    equal: bool,
) -> tuple[Int16[np.ndarray, " T"], Float[np.ndarray, " clips"]]:
    """The mixture, and the level of each clip in it in dB of full scale."""
    heard = np.flatnonzero(sounding)
    sources = np.stack([waveforms[i] for i in heard]).astype(np.float64)
    rms = np.sqrt(np.mean(sources**2, axis=1)) / _FULL_SCALE
    gains = 10 ** (np.asarray(gains_db, np.float64)[heard] / 20)
    if equal:
        gains *= 10 ** (EQUAL_RMS_DBFS / 20) / np.where(rms > 0, rms, 1)
    mixture = gains @ sources / len(heard)
    excess = max(1.0, np.abs(mixture).max() / 32767)
    levels = np.full(len(waveforms), -np.inf)
    with np.errstate(divide="ignore"):  # a sounding clip of zeros
        levels[heard] = 20 * np.log10(gains * rms / len(heard) / excess)
    return np.round(mixture / excess).astype(np.int16), levels


def scenes(
    plan: ScenePlan,
    get_clip: Callable[[int], Clip],
    *,
    size: tuple[int, int] | Callable[[Clip], tuple[int, int]] | None = None,
    prefix: str = "scene",
) -> Iterator[dict]:
    """Makes the scenes of a plan one by one, as examples of `features.clip_features`.

    A scene's `video` is its own id, so intervals go over scenes.

    Args:
      plan: of `plan_scenes`.
      get_clip: returns the clip at an index of the single-source set.
      size: see `compose`; or that of a scene by its first clip.
      prefix: ids are `PREFIX_00000` and up.
    """
    grid, equal = plan.recipe.grid, plan.recipe.equal
    for i, (places, sounding, gains) in enumerate(
        zip(plan.clips, plan.sounding, plan.gains_db, strict=True)
    ):
        clips = [get_clip(int(p)) for p in places]
        pixels = size(clips[0]) if callable(size) else size
        scene = compose(clips, sounding, gains, grid, pixels, equal=equal)
        name = f"{prefix}_{i:05d}"
        yield scene_example(scene, name, name)


def scene_example(scene: Scene, id: str, video: str) -> dict:
    """A scene as an example of `features.clip_features`."""
    return clip_example(
        id=id,
        video=video,
        second=0,
        frames=[scene.frame],
        waveform=scene.waveform,
        boxes=scene.boxes,
        labels=scene.labels,
        sounding=scene.sounding,
        offscreen=scene.offscreen,
        level_db=scene.level_db,
    )
