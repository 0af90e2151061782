"""Losses on how well pictures and sounds match."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float


def pool(maps: Float[Array, "... h w"], kind: str, sharpness: float = 20.0) -> Float[Array, ...]:
    """Reduces each map to one value.

    `max`: global max-pooling, the papers'. `log_mean_exp`: `log(mean(exp(s x))) / s`, between the
    mean (s -> 0) and the maximum (s -> inf); its gradient reaches every cell, which a network
    without pretrained weights needs to start.
    """
    if kind == "max":
        return maps.max(axis=(-2, -1))
    if kind == "log_mean_exp":
        cells = maps.shape[-2] * maps.shape[-1]
        total = jax.nn.logsumexp(sharpness * maps, axis=(-2, -1))
        return (total - jnp.log(cells)) / sharpness
    raise ValueError(f"pooling is 'max' or 'log_mean_exp', not {kind!r}")


def quarters(
    maps: Float[Array, "... h w"], side: int, kind: str, sharpness: float = 20.0
) -> Float[Array, "... cells"]:
    """Each of `side * side` parts of every map, by rows, reduced to one value by `pool`.

    Parts of a side that does not divide share a row or a column, as in adaptive pooling.
    """
    height, width = maps.shape[-2:]
    parts = [
        pool(maps[..., _part(height, i, side), _part(width, j, side)], kind, sharpness)
        for i in range(side)
        for j in range(side)
    ]
    return jnp.stack(parts, axis=-1)


def _part(length: int, place: int, count: int) -> slice:
    return slice(place * length // count, -(-(place + 1) * length // count))


def match_bce(
    logits: Float[Array, "B S"],
    positive: Bool[Array, "B S"],
    negative: Bool[Array, "B S"],
    parts: Float[Array, "B S cells"] | None = None,
) -> Float[Array, ""]:
    """Binary cross-entropy of matches, the mean of the positive and the negative pairs' means.

    CSOL eq. 2 over the pairs of a batch: row i, column j is image i with sound j. Pairs in neither
    mask (same video, padding) count for nothing. With `parts`, logits of the parts of each map,
    every part of a negative pair's map is a negative of its own.
    """

    def mean(values: Float[Array, "B S"], mask: Bool[Array, "B S"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.maximum(jnp.sum(mask), 1)

    right = mean(optax.sigmoid_binary_cross_entropy(logits, jnp.ones_like(logits)), positive)
    if parts is None:
        none = optax.sigmoid_binary_cross_entropy(logits, jnp.zeros_like(logits))
    else:
        none = optax.sigmoid_binary_cross_entropy(parts, jnp.zeros_like(parts)).mean(axis=-1)
    wrong = mean(none, negative)
    return 0.5 * (right + wrong)


def info_nce(
    scores: Float[Array, "B B"],
    positive: Bool[Array, "B B"],
    negative: Bool[Array, "B B"],
    temperature: float = 0.1,
) -> Float[Array, ""]:
    """Symmetric InfoNCE over all pairs of a batch (van den Oord et al. 2018, eq. 4, both ways).

    A row or column with several positives counts the mean of their losses; one with none is left
    out. Pairs in neither mask are in no denominator.
    """
    logits = jnp.where(positive | negative, scores / temperature, -jnp.inf)

    def one_way(axis: int) -> Float[Array, ""]:
        count = positive.sum(axis=axis)
        # Without positives there may be no finite entry either: keep the gradient finite.
        some = jnp.where(jnp.expand_dims(count > 0, axis), logits, 0.0)
        total = jax.nn.logsumexp(some, axis=axis)
        matched = jnp.where(positive, logits, 0.0).sum(axis=axis) / jnp.maximum(count, 1)
        losses = jnp.where(count > 0, total - matched, 0.0)
        return losses.sum() / jnp.maximum((count > 0).sum(), 1)

    return 0.5 * (one_way(0) + one_way(1))
