"""Losses on how well pictures and sounds match."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float


def pool(maps: Float[Array, "... h w"], kind: str, sharpness: float = 20.0) -> Float[Array, ...]:
    """One value a map.

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


def match_bce(
    logits: Float[Array, "B B"], positive: Bool[Array, "B B"], negative: Bool[Array, "B B"]
) -> Float[Array, ""]:
    """Binary cross-entropy of matches, the mean of the positive and the negative pairs' means.

    CSOL eq. 2 over the pairs of a batch: row i, column j is image i with sound j. Pairs in neither
    mask (same video, padding) count for nothing.
    """

    def mean(values: Float[Array, "B B"], mask: Bool[Array, "B B"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.maximum(jnp.sum(mask), 1)

    right = mean(optax.sigmoid_binary_cross_entropy(logits, jnp.ones_like(logits)), positive)
    wrong = mean(optax.sigmoid_binary_cross_entropy(logits, jnp.zeros_like(logits)), negative)
    return 0.5 * (right + wrong)


def info_nce(
    scores: Float[Array, "B B"],
    positive: Bool[Array, "B B"],
    negative: Bool[Array, "B B"],
    temperature: float = 0.1,
) -> Float[Array, ""]:
    """Symmetric InfoNCE over all pairs of a batch (van den Oord et al. 2018, eq. 4, both ways).

    `positive` is a masked diagonal; pairs in neither mask stand in no denominator.
    """
    logits = jnp.where(positive | negative, scores / temperature, -jnp.inf)
    matched = jnp.diagonal(positive)
    # Rows and columns of padding have no finite entry: give them one, then leave them out.
    logits = jnp.where(jnp.eye(len(logits), dtype=bool) & ~matched[:, None], 0.0, logits)

    def one_way(axis: int) -> Float[Array, ""]:
        losses = jax.nn.logsumexp(logits, axis=axis) - jnp.diagonal(logits)
        return jnp.sum(jnp.where(matched, losses, 0.0)) / jnp.maximum(jnp.sum(matched), 1)

    return 0.5 * (one_way(0) + one_way(1))
