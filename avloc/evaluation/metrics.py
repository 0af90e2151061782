"""Metrics: jitted measurements of maps against boxes, and the scores made of them on the host.

`measure` does all that touches pixels and returns a few numbers a map; the rest is NumPy in
float64, so that counts are divided exactly and a score of 0.3 is 0.3.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from avloc.evaluation.protocols import Protocol

# An edge stored as float32 may lie a rounding error below the pixel boundary it stands for.
_EDGE_SLACK = 1e-4


class Measures(NamedTuple):
    """Pixel measurements of a batch of `B` items, `N` maps each, `M` object slots each.

    Attributes:
      overlap: predicted pixels inside the ground truth of the map's category.
      truth: pixels of that ground truth.
      outside: predicted pixels outside it.
      quiet: share of the map's area below the protocol's silent tau; 0 without one.
      lit: whether some pixel reaches that tau; False without one.
      peak: largest value of the map.
      mass: mean activation of the map of the object's category inside the object's box; 0 where
        the box covers no pixel or the category is unknown.
    """

    overlap: Int[Array, "B N"]
    truth: Int[Array, "B N"]
    outside: Int[Array, "B N"]
    quiet: Float[Array, "B N"]
    lit: Bool[Array, "B N"]
    peak: Float[Array, "B N"]
    mass: Float[Array, "B M"]


def resize(
    maps: Float[Array, "*items h w"], size: int, interpolation: str = "bilinear"
) -> Float[Array, "*items size size"]:
    """Maps at `size` x `size` pixels: half-pixel centres, borders repeated, no antialiasing."""
    shape = (*maps.shape[:-2], size, size)
    return jax.image.resize(maps, shape, interpolation, antialias=False)


def pixel_edges(boxes: Float[Array, "*slots 4"], size: int) -> Int[Array, "*slots 4"]:
    """`[ymin, xmin, ymax, xmax]` in pixels: first inside, first outside; floored.

    Floored with a slack of 1e-4 of a pixel, so that float32 edges that stand for a pixel boundary
    stay on it.
    """
    edges = jnp.floor(jnp.asarray(boxes, jnp.float32) * size + _EDGE_SLACK)
    return jnp.clip(edges, 0, size).astype(jnp.int32)


def _sides(boxes: Array, size: int) -> tuple[Array, Array]:
    """Whether each row, and each column, lies in each box: two `[*slots size]` of 0 and 1."""
    edges = pixel_edges(boxes, size)[..., None]
    place = jnp.arange(size)
    rows = (edges[..., 0, :] <= place) & (place < edges[..., 2, :])
    columns = (edges[..., 1, :] <= place) & (place < edges[..., 3, :])
    return rows.astype(jnp.float32), columns.astype(jnp.float32)


def box_masks(
    boxes: Float[Array, "*items M 4"], valid: Bool[Array, "*items M"], size: int
) -> Bool[Array, "*items size size"]:
    """Pixels inside at least one valid box. The leading axes of boxes and valid broadcast."""
    rows, columns = _sides(boxes, size)
    return jnp.einsum("...my,...mx->...yx", rows * valid[..., None], columns) > 0


def object_mass(
    maps: Float[Array, "B N y x"], boxes: Float[Array, "B M 4"], labels: Int[Array, "B M"]
) -> Float[Array, "B M"]:
    """Mean activation of the map of each object's category inside the object's box."""
    rows, columns = _sides(boxes, maps.shape[-1])
    of_object = jnp.take_along_axis(maps, jnp.maximum(labels, 0)[..., None, None], axis=1)
    total = jnp.einsum("bmyx,bmy,bmx->bm", of_object, rows, columns, precision="highest")
    area = rows.sum(-1) * columns.sum(-1)
    return jnp.where((labels >= 0) & (area > 0), total / jnp.maximum(area, 1), 0.0)


@partial(jax.jit, static_argnames=("protocol",))
def largest_value(maps: Float[Array, "B h w N"], protocol: Protocol) -> Float[Array, " B"]:
    """The largest value of each item's maps, after the protocol's resize."""
    resized = resize(jnp.moveaxis(maps, -1, 1), protocol.size, protocol.interpolation)
    return resized.max((1, 2, 3))


@partial(jax.jit, static_argnames=("protocol",))
def measure(
    maps: Float[Array, "B h w N"],
    boxes: Float[Array, "B M 4"],
    labels: Int[Array, "B M"],
    sounding: Bool[Array, "B M"],
    largest: Float[Array, ""],
    protocol: Protocol,
) -> Measures:
    """Measures maps against boxes under a protocol's rules.

    The ground truth of category n is the union of the sounding boxes labelled n.

    Args:
      maps: a map a category.
      boxes: `[ymin, xmin, ymax, xmax]` in 0..1, 0 in unused slots.
      labels: category of each box in 0..N-1; -1 leaves the slot out.
      sounding: whether the object is heard, and in the picture.
      largest: the largest value over all maps of the evaluated set (see `largest_value`).
      protocol: resize and thresholds.
    """
    resized = resize(jnp.moveaxis(maps, -1, 1), protocol.size, protocol.interpolation)
    categories = jnp.arange(maps.shape[-1])
    of_category = sounding[:, None] & (labels[:, None] == categories[:, None])
    truth = box_masks(boxes[:, None], of_category, protocol.size)
    predicted = resized > protocol.threshold.value(resized, largest)[..., None, None]
    peak = resized.max((-2, -1))
    if protocol.silent is None:
        quiet, lit = jnp.zeros(peak.shape), jnp.zeros(peak.shape, bool)
    else:
        tau = protocol.silent.value(resized, largest)
        quiet, lit = (resized < tau[..., None, None]).mean((-2, -1)), peak >= tau
    return Measures(
        overlap=(predicted & truth).sum((-2, -1)),
        truth=truth.sum((-2, -1)),
        outside=(predicted & ~truth).sum((-2, -1)),
        quiet=quiet,
        lit=lit,
        peak=peak,
        mass=object_mass(resized, boxes, labels),
    )


def iou(overlap: np.ndarray, truth: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """`|pred and gt| / (|gt| + |pred and not gt|)` of pixel counts; nan without ground truth."""
    overlap, truth, outside = (np.asarray(x, np.float64) for x in (overlap, truth, outside))
    ratio = overlap / np.maximum(truth + outside, 1)
    return np.where(truth > 0, ratio, np.nan)


def class_aware_iou(ious: np.ndarray, sounds: np.ndarray) -> np.ndarray:
    """CIoU of each scene (CSOL eq. 14): the mean IoU of its sounding categories.

    Args:
      ious: `[S, N]`.
      sounds: `[S, N]` bool, at least one True a scene.
    """
    return np.where(sounds, ious, 0.0).sum(-1) / sounds.sum(-1)


def no_sounding_area(quiet: np.ndarray, sounds: np.ndarray) -> np.ndarray:
    """NSA of each scene (CSOL eq. 15): the mean quiet share of its silent categories' maps.

    Every category that does not sound in the scene is silent, whether it is seen or not.

    Args:
      quiet: `[S, N]` share of the area below tau.
      sounds: `[S, N]` bool. A scene in which all categories sound gets nan.
    """
    silent = ~sounds
    count = silent.sum(-1)
    total = np.where(silent, np.asarray(quiet, np.float64), 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def success_auc(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """What each score adds to the area under the success curve; their mean is the AUC.

    The success rate at a level is the share of scores not below it. The trapezoid rule is linear,
    so the area under the mean curve is the mean of the areas under each score's own step.
    """
    reached = (np.asarray(scores, np.float64)[..., None] >= levels).astype(np.float64)
    return np.trapezoid(reached, dx=1 / (len(levels) - 1), axis=-1)


def auroc(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Args:
      scores: `[n]`.
      positive: `[n]` bool.
      weights: `[..., n]` how often each one counts; once if None.

    Returns:
      `[...]` in 0..1, nan where one side has no weight.
    """
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(scores, kind="stable")
    ranked = np.asarray(scores)[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    for_positive = np.asarray(positive, bool)[order]
    weights = weights[..., order]
    ups = np.add.reduceat(weights * for_positive, starts, axis=-1)
    downs = np.add.reduceat(weights * ~for_positive, starts, axis=-1)
    won = (ups * (np.cumsum(downs, -1) - downs / 2)).sum(-1)
    pairs = ups.sum(-1) * downs.sum(-1)
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1), np.nan)
