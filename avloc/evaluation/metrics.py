"""Metrics: jitted measurements of maps against boxes, and the scores made from them on the host.

`measure` does everything that touches pixels and returns a few numbers per map; the rest is NumPy
in float64, so that counts are divided exactly and a score of 0.3 is 0.3.

A value within `ROUNDING` of a threshold, or of a map's maximum, lies on it: devices differ in the
last bits of a float32, and no score may hang on these.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from avloc.evaluation.protocols import Protocol

ROUNDING = 1e-6
"""Share of a value by which two float32 values may differ and count as equal."""


class Measures(NamedTuple):
    """Pixel measurements of a batch of `B` items, `N` maps each.

    A pixel of the ground truth counts 1; under `consensus`, one vote of two counts a half.

    Attributes:
      overlap: predicted pixels inside the ground truth of the map's category.
      truth: pixels of that ground truth.
      outside: predicted pixels outside it.
      quiet: share of the map's area that is silent by the protocol's tau; 0 without one.
      lit: whether some pixel is not silent; False without a tau.
      peak: largest value of the map.
    """

    overlap: Float[Array, "B N"]
    truth: Float[Array, "B N"]
    outside: Int[Array, "B N"]
    quiet: Float[Array, "B N"]
    lit: Bool[Array, "B N"]
    peak: Float[Array, "B N"]


def _between(cells: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two cells of a row that each of `size` pixels lies between, and the second one's share.

    Half-pixel centres, repeated borders, no antialiasing, as in OpenCV's linear resize.
    """
    place = np.round((np.arange(size) + 0.5) * (cells / size) - 0.5, 9)
    low = np.floor(place)
    first, second = (np.clip(x, 0, cells - 1).astype(np.int32) for x in (low, low + 1))
    return first, second, (place - low).astype(np.float32)


def bilinear(cells: int, size: int) -> Float[np.ndarray, "size cells"]:
    """The weight of each cell of a row in each of `size` pixels; see `resize`."""
    first, second, share = _between(cells, size)
    weights, pixels = np.zeros((size, cells), np.float32), np.arange(size)
    np.add.at(weights, (pixels, first), 1 - share)
    np.add.at(weights, (pixels, second), share)
    return weights


def resize(
    maps: Float[Array, "*items h w"], size: int, interpolation: str = "bilinear"
) -> Float[Array, "*items size size"]:
    """Maps at `size` x `size` pixels, as OpenCV's linear resize (`_between`).

    Where two cells are equal, so is all between them, to the last bit: `a + (b - a) * share`. Their
    weighted sum would leave a constant map at two values. What is below the least normal float32 is
    0, as compiled code and devices may make it so anyway.
    """
    if interpolation != "bilinear":
        raise ValueError(f"maps are resized bilinearly, not by {interpolation!r}")
    for axis in (-2, -1):
        first, second, share = _between(maps.shape[axis], size)
        low, high = (jnp.take(maps, cells, axis=axis, mode="clip") for cells in (first, second))
        maps = low + (high - low) * (share[:, None] if axis == -2 else share)
    return jnp.where(jnp.abs(maps) < np.finfo(np.float32).tiny, 0, maps)


@partial(jax.jit, static_argnames=("size", "interpolation"))
def enlarge(
    maps: Float[Array, "B h w N"], size: int, interpolation: str = "bilinear"
) -> Float[Array, "B N size size"]:
    """Maps, classes last, as the rules of a protocol see them."""
    return resize(jnp.moveaxis(maps, -1, 1), size, interpolation)


def _sides(edges: Int[Array, "*slots 4"], size: int) -> tuple[Array, Array]:
    """Whether each row, and each column, lies in each box: two `[*slots size]` of 0 and 1."""
    edges, place = jnp.asarray(edges)[..., None], jnp.arange(size)
    rows = (edges[..., 0, :] <= place) & (place < edges[..., 2, :])
    columns = (edges[..., 1, :] <= place) & (place < edges[..., 3, :])
    return rows.astype(jnp.float32), columns.astype(jnp.float32)


def box_votes(
    edges: Int[Array, "*items M 4"], valid: Bool[Array, "*items M"], size: int
) -> Int[Array, "*items size size"]:
    """Number of valid boxes that each pixel is in. The leading axes of edges and valid broadcast.

    Args:
      edges: in pixels, as `edges.pixel_edges` gives them.
      valid: which boxes count.
      size: side in pixels.
    """
    rows, columns = _sides(edges, size)
    votes = jnp.einsum("...my,...mx->...yx", rows * valid[..., None], columns)
    return votes.astype(jnp.int32)


@partial(jax.jit, static_argnames=("protocol",))
def object_mass(
    maps: Float[Array, "B h w N"],
    edges: Int[Array, "B M 4"],
    labels: Int[Array, "B M"],
    protocol: Protocol,
) -> Float[Array, "B M"]:
    """Mean activation of the (resized) map of each object's category inside the object's box.

    0 where the box covers no pixel or the category is unknown. Resizing is linear, so the box is
    resized to the few cells of the map, instead of the map to the pixels.
    """
    rows, columns = _sides(edges, protocol.size)
    area = rows.sum(-1) * columns.sum(-1)
    by_cell = (
        side @ bilinear(cells, protocol.size)
        for side, cells in ((rows, maps.shape[1]), (columns, maps.shape[2]))
    )
    place = jnp.maximum(labels, 0)[..., None, None]
    of_object = jnp.take_along_axis(jnp.moveaxis(maps, -1, 1), place, axis=1)
    total = jnp.einsum("bmhw,bmh,bmw->bm", of_object, *by_cell, precision="highest")
    return jnp.where((labels >= 0) & (area > 0), total / jnp.maximum(area, 1), 0.0)


def quantile_cuts(
    resized: Float[np.ndarray, "B N y x"], fraction: float
) -> Float[np.ndarray, "B N"]:
    """The value of each map that a fraction of its pixels lies below: of n sorted, number `f * n`.

    As in the later benchmarks: they sort, take `[int(n / 2)]`, and predict what is above it or is 1
    after scaling to 0..1. So a map whose maximum covers more than the rest of its area gets a value
    just below the maximum, which predicts the flat top. Just below is a normal float32 away, as
    compiled code may take a smaller step for none. Done on the host, where sorting is faster.
    """
    pixels = np.asarray(resized).reshape(*resized.shape[:2], -1)
    place = min(int(pixels.shape[-1] * fraction), pixels.shape[-1] - 1)
    cuts, peak = np.partition(pixels, place, axis=-1)[..., place], pixels.max(-1)
    step = np.maximum(np.float32(ROUNDING) * np.abs(peak), np.finfo(np.float32).tiny)
    return np.minimum(cuts, peak - step)


def above(
    resized: Float[Array, "*items y x"], cuts: Float[Array, "*items"]
) -> Bool[Array, "*items y x"]:
    """Which pixels lie above the cut of their map by more than rounding."""
    cuts = cuts[..., None, None]
    return resized > cuts + np.float32(ROUNDING) * abs(cuts)


@partial(jax.jit, static_argnames=("protocol",))
def measure(
    resized: Float[Array, "B N size size"],
    edges: Int[Array, "B M 4"],
    labels: Int[Array, "B M"],
    sounding: Bool[Array, "B M"],
    largest: Float[Array, ""],
    cuts: Float[Array, "B N"] | None,
    protocol: Protocol,
) -> Measures:
    """Measures maps against boxes under a protocol's rules.

    The ground truth of category n is made of the sounding boxes labelled n.

    Args:
      resized: a map a category, as `enlarge` gives them.
      edges: of the boxes, in pixels; 0 in unused slots.
      labels: category of each box in 0..N-1; -1 leaves the slot out.
      sounding: whether the object is heard, and in the picture.
      largest: the largest value over all (resized) maps of the evaluated set.
      cuts: where the rule is a quantile, its value for each map.
      protocol: thresholds, and the form of the IoU.
    """
    of_category = sounding[:, None] & (labels[:, None] == jnp.arange(resized.shape[1])[:, None])
    full = 2 if protocol.iou == "consensus" else 1
    votes = jnp.minimum(box_votes(edges[:, None], of_category, protocol.size), full)
    if cuts is None:
        predicted = above(resized, protocol.threshold.value(resized, largest))
    else:  # pixels' own values, which no rounding moves
        predicted = resized > cuts[..., None, None]
    peak = resized.max((-2, -1))
    if protocol.silent is None:
        silent = jnp.zeros_like(predicted)
    else:
        tau = protocol.silent.value(resized, largest)
        # A pixel on tau, give or take rounding, is silent or not whatever its last bits.
        at_tau = np.float32(1 if protocol.silent_at_tau else 1 - 2 * ROUNDING)
        silent = ~above(resized, at_tau * tau)
    # All counts in one pass over the pixels.
    counted = (jnp.where(predicted, votes, 0), votes, predicted & (votes == 0), silent)
    overlap, truth, outside, quiet = jax.lax.reduce(
        tuple(x.astype(jnp.int32) for x in counted),
        (jnp.int32(0),) * len(counted),
        lambda left, right: tuple(x + y for x, y in zip(left, right, strict=True)),
        (2, 3),
    )
    pixels = protocol.size**2
    lit = (quiet < pixels) if protocol.silent else jnp.zeros(quiet.shape, bool)
    return Measures(overlap / full, truth / full, outside, quiet / pixels, lit, peak)


def iou(overlap: np.ndarray, truth: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """`|pred and gt| / (|gt| + |pred and not gt|)` of pixel counts; nan without ground truth."""
    overlap, truth, outside = (np.asarray(x, np.float64) for x in (overlap, truth, outside))
    ratio = overlap / np.where(truth > 0, truth + outside, 1)
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

    Every category that does not sound in the scene is silent, whether it is visible or not.

    Args:
      quiet: `[S, N]` share of the area below tau.
      sounds: `[S, N]` bool. A scene in which all categories sound gets nan.
    """
    silent = ~sounds
    count = silent.sum(-1)
    total = np.where(silent, np.asarray(quiet, np.float64), 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def success_auc(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The contribution of each score to the area under the success curve; their mean is the AUC.

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
