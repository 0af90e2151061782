"""How far masks are from the ideal ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def mask_error(
    logits: Float[Array, "B N R C"],
    targets: Float[Array, "B N R C"],
    weight: Float[Array, "B R C"],
    kind: str,
) -> Float[Array, " B"]:
    """`mean_n mean(weight * error)` of each mixture, as Sound-of-Pixels has it.

    It is not divided by the sum of the weights: quiet mixtures count less.

    Args:
      logits: of the mask of each source.
      targets: ideal masks, 0 or 1, or ratios.
      weight: of each cell.
      kind: `binary`, cross-entropy; `ratio`, the absolute difference.
    """
    if kind == "binary":
        error = optax.sigmoid_binary_cross_entropy(logits, targets)
    else:
        error = jnp.abs(jax.nn.sigmoid(logits) - targets)
    return jnp.mean(weight[:, None] * error, axis=(1, 2, 3))
