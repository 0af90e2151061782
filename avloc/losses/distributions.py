"""Losses on category distributions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float


def masked_mean(values: Float[Array, " B"], mask: Bool[Array, " B"]) -> Float[Array, ""]:
    """Mean over the items that the mask keeps; 0 where it keeps none."""
    weight = mask.astype(values.dtype)
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def cross_entropy(
    logits: Float[Array, "B K"], targets: Float[Array, "B K"], mask: Bool[Array, " B"]
) -> Float[Array, ""]:
    """Mean over the batch of `-sum_k t_k log softmax(logits)_k`, in nats (CSOL eq. 6)."""
    return masked_mean(optax.softmax_cross_entropy(logits, targets), mask)


def multi_label_bce(
    logits: Float[Array, "B K"], targets: Float[Array, "B K"], mask: Bool[Array, " B"]
) -> Float[Array, ""]:
    """`1/K sum_k BCE(sigmoid(logit_k), t_k)`, the mean over the batch; targets may be soft."""
    return masked_mean(optax.sigmoid_binary_cross_entropy(logits, targets).mean(axis=-1), mask)


def kl_divergence(
    p_logits: Float[Array, "B K"], q_logits: Float[Array, "B K"], mask: Bool[Array, " B"]
) -> Float[Array, ""]:
    """Mean over the batch of `KL(p || q)`, in nats (CSOL eq. 11).

    `KL(p || q) = sum_k p_k (log p_k - log q_k)`, p and q the softmax of the logits.
    """
    log_p = jax.nn.log_softmax(p_logits)
    log_q = jax.nn.log_softmax(q_logits)
    return masked_mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1), mask)
