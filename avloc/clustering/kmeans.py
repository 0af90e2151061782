"""k-means: k-means++ seeding, restarts, chunked distances."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

_ROWS, _DISTANCES = 2**11, 2**23
"""Distances in a chunk: 32 MiB stay in a CPU's cache and still keep a GPU busy."""


class KMeans(NamedTuple):
    """A clustering.

    Attributes:
      centroids: mean of each cluster.
      labels: nearest centroid of each row, int32; -1 for masked rows.
      inertia: sum over the rows of the squared distance to the nearest centroid.
    """

    centroids: Float[Array, "K C"]
    labels: Int[Array, " N"]
    inertia: Float[Array, ""]


def kmeans(
    x: Float[Array, "N C"],
    k: int,
    key: PRNGKeyArray,
    *,
    restarts: int = 1,
    iterations: int = 100,
    tolerance: float = 1e-4,
    chunk: int | None = None,
    mask: Bool[Array, " N"] | None = None,
    init: Float[Array, "K C"] | None = None,
) -> KMeans:
    """Clusters the rows of x; the best of several restarts by inertia.

    Seeds by greedy k-means++ (the best of `2 + log k` candidates each time), then Lloyd's
    iterations. A cluster that becomes empty restarts at the row farthest from its centroid, so
    clusters stay empty only where x has fewer than k different rows. Call it outside `jit`; rows
    may be sharded over a mesh.

    Args:
      x: one row a sample.
      k: number of clusters, at most the number of unmasked rows.
      key: fixes the seeding.
      restarts: independent seedings; 1 with `init`.
      iterations: maximum of Lloyd iterations for each restart.
      tolerance: stop when the squared movement of the centroids, summed, is at most this times
        the mean variance of the columns.
      chunk: rows whose distances to all centroids are in memory at once; depends on k by default.
      mask: False where a row is padding: it moves no centroid and gets label -1.
      init: centroids to start from in place of seeding.

    Raises:
      ValueError: k < 1, k larger than the number of unmasked rows, unmasked rows that are not
        finite, restarts together with init.
    """
    if x.ndim != 2:
        raise ValueError(f"k-means takes [N, C] rows, not {x.shape}")
    if k < 1:
        raise ValueError(f"k-means needs at least one cluster, not k = {k}")
    if restarts < 1 or (init is not None and restarts > 1):
        raise ValueError(f"restarts must be at least 1, and 1 with init, not {restarts}")
    if init is not None and init.shape != (k, x.shape[1]):
        raise ValueError(f"init must be {(k, x.shape[1])} centroids, not {init.shape}")
    if mask is None:
        mask = np.ones(len(x), bool)
    rows, finite = _inspect(x, mask)
    if k > rows:
        raise ValueError(f"k-means cannot make k = {k} clusters of {rows} samples: lower k")
    if not finite:
        raise ValueError("k-means got values that are not finite: check the features passed to it")
    chunk = min(chunk or _chunk(k), len(x))
    return _kmeans(x, mask, key, init, tolerance, iterations, k, restarts, chunk)


@functools.partial(jax.jit, static_argnames="chunk")
def assign(
    x: Float[Array, "N C"], centroids: Float[Array, "K C"], *, chunk: int | None = None
) -> Int[Array, " N"]:
    """Index of the nearest centroid of each row, int32; `chunk` as in `kmeans`."""
    centre = centroids.mean(axis=0)
    chunks = _to_chunks(x - centre, min(chunk or _chunk(len(centroids)), len(x)))
    labels = lax.map(lambda rows: _nearest(rows, centroids - centre)[0], chunks)
    return _from_chunks(labels, len(x))


def _chunk(k: int) -> int:
    """Rows of a chunk: a power of two, which devices that share it divide."""
    return min(_ROWS, 1 << max(0, (_DISTANCES // k).bit_length() - 1))


@jax.jit
def _inspect(x, mask):
    """Number of unmasked rows, and whether they are finite."""
    return mask.sum(), jnp.where(mask[:, None], jnp.isfinite(x), True).all()


@functools.partial(jax.jit, static_argnames=("k", "restarts", "chunk"))
def _kmeans(x, mask, key, init, tolerance, iterations, k, restarts, chunk) -> KMeans:
    size = len(x)
    # Distances expand to |x|^2 - 2 xc + |c|^2, which loses digits far from the origin.
    x = jnp.where(mask[:, None], x, 0).astype(jnp.float32)
    count = mask.sum().astype(jnp.float32)
    centre = x.sum(axis=0) / count
    x = jnp.where(mask[:, None], x - centre, 0)
    limit = tolerance * jnp.square(x).sum() / (count * x.shape[1])
    if init is None:
        keys = jax.random.split(key, restarts)
        starts = lax.map(lambda key: _plus_plus(x, mask, k, key), keys)
    else:
        starts = (init.astype(jnp.float32) - centre)[None]
    rows, weights = _to_chunks(x, chunk), _to_chunks(mask, chunk)

    def run(start):
        centroids = _lloyd(rows, weights, start, iterations, limit)
        labels, _, _, inertia = _summarise(rows, weights, centroids)
        return centroids, labels, inertia

    centroids, labels, inertias = lax.map(run, starts)
    best = inertias.argmin()
    labels = jnp.where(mask, _from_chunks(labels[best], size), -1)
    return KMeans(centroids[best] + centre, labels, inertias[best])


def _to_chunks(x: Array, chunk: int) -> Array:
    """`[N, ...]` to `[chunks, chunk, ...]`, padded with zeros.

    A chunk takes every n-th row, so that rows sharded over devices are so in each chunk.
    """
    number = -(-len(x) // chunk)
    padding = [(0, number * chunk - len(x))] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(chunk, number, *x.shape[1:]).swapaxes(0, 1)


def _from_chunks(x: Array, size: int) -> Array:
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])[:size]


def _nearest(rows, centroids) -> tuple[Int[Array, " n"], Float[Array, " n"]]:
    """Nearest centroid of each row and the squared distance to it."""
    inner = jnp.matmul(rows, centroids.T, precision=lax.Precision.HIGHEST)
    partial = jnp.square(centroids).sum(axis=1) - 2 * inner
    lowest = partial.min(axis=1)
    # Two plain minima: XLA has vector code for them on CPU, and none for argmin.
    last = len(centroids) - 1
    place = lax.broadcasted_iota(jnp.int32, partial.shape, 1)
    labels = jnp.where(partial == lowest[:, None], place, last).min(axis=1)
    return labels, jnp.maximum(lowest + jnp.square(rows).sum(axis=1), 0)


def _add_up(labels, rows, weights, k: int) -> tuple[Float[Array, "K C"], Float[Array, " K"]]:
    """For each cluster the sum and the number of its rows, reproducible from run to run."""
    # A CPU scatters in order; a GPU in any order, so sums would differ between runs.
    return lax.platform_dependent(
        labels,
        rows,
        weights,
        cpu=functools.partial(_scattered, k=k),
        default=functools.partial(_multiplied, k=k),
    )


def _scattered(labels, rows, weights, k: int):
    sums = jax.ops.segment_sum(jnp.where(weights[:, None], rows, 0), labels, k)
    return sums, jax.ops.segment_sum(weights.astype(jnp.float32), labels, k)


def _multiplied(labels, rows, weights, k: int):
    member = jnp.where(weights[:, None], jax.nn.one_hot(labels, k), 0)
    sums = jnp.matmul(member.T, rows, precision=lax.Precision.HIGHEST)
    return sums, member.sum(axis=0)


def _summarise(rows, weights, centroids):
    """Labels and distances by chunk, and for each cluster the sum and the number of its rows."""
    k = len(centroids)

    def step(carry, chunk):
        sums, counts, inertia = carry
        rows, weights = chunk
        labels, distances = _nearest(rows, centroids)
        more, number = _add_up(labels, rows, weights, k)
        inertia += jnp.where(weights, distances, 0).sum()
        # Padding is below every row's distance, so that no cluster is re-seeded on it.
        distances = jnp.where(weights, distances, -1)
        return (sums + more, counts + number, inertia), (labels, distances)

    zero = jnp.zeros_like(centroids), jnp.zeros(k), jnp.zeros(())
    (sums, counts, inertia), (labels, distances) = lax.scan(step, zero, (rows, weights))
    return labels, distances, (sums, counts), inertia


def _lloyd(rows, weights, start, iterations, limit) -> Float[Array, "K C"]:
    def unsettled(carry):
        _, shift, step = carry
        return (shift > limit) & (step < iterations)

    def update(carry):
        centroids, _, step = carry
        _, distances, (sums, counts), _ = _summarise(rows, weights, centroids)
        means = sums / jnp.maximum(counts, 1)[:, None]
        empty = counts == 0
        means = lax.cond(empty.any(), _reseed, lambda *a: a[0], means, empty, rows, distances)
        return means, jnp.square(means - centroids).sum(), step + 1

    return lax.while_loop(unsettled, update, (start, jnp.array(jnp.inf), 0))[0]


def _reseed(means, empty, rows, distances):
    """Puts the n-th empty cluster on the row n-th farthest from its centroid."""
    _, farthest = lax.top_k(distances.ravel(), len(means))
    order = jnp.cumsum(empty) - 1
    # By chunk and index in it: flattened, the rows of all devices would be gathered.
    seeds = rows[jnp.divmod(farthest[order], rows.shape[1])]
    return jnp.where(empty[:, None], seeds, means)


def _plus_plus(x, mask, k: int, key) -> Float[Array, "K C"]:
    """Greedy k-means++: of a few rows drawn by squared distance, keeps the best one."""
    trials = 2 + int(math.log(k))
    first_key, key = jax.random.split(key)
    first = x[jax.random.categorical(first_key, jnp.where(mask, 0.0, -jnp.inf))]

    def squared(points):
        inner = jnp.matmul(x, points.T, precision=lax.Precision.HIGHEST)
        distance = norms[:, None] - 2 * inner + jnp.square(points).sum(axis=1)
        return jnp.where(mask[:, None], jnp.maximum(distance, 0), 0)

    def add(i, carry):
        centroids, nearest = carry
        # If every row has a centroid on it, any row is fine.
        weights = jnp.where(nearest.sum() > 0, nearest, mask.astype(jnp.float32))
        step_key = jax.random.fold_in(key, i)
        # One key per draw, so that rows added as padding do not change the draws.
        keys, logits = jax.random.split(step_key, trials), jnp.log(weights)
        drawn = jax.vmap(lambda key: jax.random.categorical(key, logits))(keys)
        candidates = jnp.minimum(nearest[:, None], squared(x[drawn]))
        best = candidates.sum(axis=0).argmin()
        return centroids.at[i].set(x[drawn[best]]), candidates[:, best]

    norms = jnp.square(x).sum(axis=1)
    centroids = jnp.zeros((k, x.shape[1])).at[0].set(first)
    return lax.fori_loop(1, k, add, (centroids, squared(first[None])[:, 0]))[0]
