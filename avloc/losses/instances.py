"""The sources in a sound: similarities to prototypes as probabilities, and their loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avloc.losses.distributions import masked_mean, multi_label_bce


def presence(
    similarity: Float[Array, "... K"],
    scale: Float[Array, ""],
    bias: Float[Array, ""],
    kind: str = "sigmoid",
) -> Float[Array, "... K"]:
    """Probability that a source is there, from its cosine to the prototype in -1..1.

    BCE needs a probability, which IEr leaves open. `sigmoid`: of `scale * cosine + bias`, both
    learned. `clip`: the cosine itself, clipped to 0..1.
    """
    if kind == "sigmoid":
        return jax.nn.sigmoid(scale * similarity + bias)
    if kind == "clip":
        return jnp.clip(similarity, 0.0, 1.0)
    raise ValueError(f"config.prototypes.probability is 'sigmoid' or 'clip', not {kind!r}")


def instance_bce(
    similarity: Float[Array, "B K"],
    targets: Float[Array, "B K"],
    mask: Bool[Array, " B"],
    scale: Float[Array, ""],
    bias: Float[Array, ""],
    kind: str = "sigmoid",
) -> Float[Array, ""]:
    """`1/K sum_n BCE(sim(P_n, F_n), Y^n)`, the mean over the batch (IEr eq. 2 and 8).

    Args:
      similarity: cosine of each prototype with its feature.
      targets: 1 for the sources in the sound; multi-hot for mixtures.
      mask: False where the item is padding.
      scale: see `presence`.
      bias: see `presence`.
      kind: see `presence`.
    """
    if kind == "sigmoid":  # on logits, which stays finite where the sigmoid is 0 or 1
        return multi_label_bce(scale * similarity + bias, targets, mask)
    p = jnp.clip(presence(similarity, scale, bias, kind), 1e-6, 1 - 1e-6)
    loss = -(targets * jnp.log(p) + (1 - targets) * jnp.log1p(-p))
    return masked_mean(loss.mean(axis=-1), mask)
