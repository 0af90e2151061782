"""Class activation maps, and what a map of features holds of each class (C2F 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avloc.models.heads import EXACT


def grad_cam(
    score: Callable[[Float[Array, "B h w C"]], Float[Array, "B K"]], maps: Float[Array, "B h w C"]
) -> Float[Array, "B h w K"]:
    """`W^c = sum_k a_k F_k` with `a_k = sum_cells d score_c / d F_k` (C2F eq. 4), detached.

    Grad-CAM has the mean over cells where this has their sum: of a linear head on the mean of a
    map this is `W_c . f` itself.

    Args:
      score: of each class before its activation. No item may depend on another one's map.
      maps: of the last convolution.
    """
    maps = jax.lax.stop_gradient(maps)
    scores, pull = jax.vjp(score, maps)

    def weights(one: Float[Array, " K"]) -> Float[Array, "B C"]:
        return pull(jnp.broadcast_to(one, scores.shape))[0].sum(axis=(1, 2))

    # Class after class: the gradients of all at once would be K times the maps.
    each = jax.lax.map(weights, jnp.eye(scores.shape[-1], dtype=scores.dtype))
    return jax.lax.stop_gradient(jnp.einsum("bhwc,kbc->bhwk", maps, each, precision=EXACT))


def linear_cam(
    kernel: Float[Array, "C K"], maps: Float[Array, "B h w C"]
) -> Float[Array, "B h w K"]:
    """`grad_cam` of a linear head on the mean of a map, in closed form: `W_c . f`, detached."""
    return jax.lax.stop_gradient(jnp.einsum("bhwc,ck->bhwk", maps, kernel, precision=EXACT))


def activation(
    cam: Float[Array, "B h w K"], relu: bool = True, threshold: float = 0.0
) -> Float[Array, "B h w K"]:
    """A class activation map as weights of cells, not below 0.

    Args:
      cam: of each class.
      relu: `ReLU(W - threshold)`, as in the published code; the paper says nothing of it. Else each
        map less its own minimum, which drops no cell.
      threshold: what is taken off first; 0.1 for pictures in the original code, 0 in the simplified
        one.
    """
    if relu:
        return jnp.maximum(cam - threshold, 0.0)
    return cam - cam.min(axis=(1, 2), keepdims=True)


def pooled_by(
    weights: Float[Array, "B h w K"], maps: Float[Array, "B y x C"]
) -> Float[Array, "B K C"]:
    """`f^c`, the mean of a map's cells, weighed by each class (C2F eq. 5).

    Weights of another resolution are interpolated. A class without a weight has the plain mean.
    """
    shape = (len(weights), *maps.shape[1:3], weights.shape[-1])
    if weights.shape != shape:
        weights = jax.image.resize(weights, shape, "linear")
    total = weights.sum(axis=(1, 2), keepdims=True)
    weights = jnp.where(total > 1e-6, weights, 1.0)
    weights = weights / weights.sum(axis=(1, 2), keepdims=True)
    return jnp.einsum("bhwk,bhwc->bkc", weights, maps, precision=EXACT)
