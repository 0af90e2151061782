"""Max-pooling: behind the first convolution, by comparisons; and over a whole map."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def max_pool_3x3(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """Maximum of every 3x3 window, stride 2, one cell of zeros around: `h = ceil(H / 2)`.

    As `flax.linen.max_pool` after padding, and the gradient goes to a window's first maximum by
    rows. That one's gradient searches each window again, on a CPU at four times the cost of this.

    Args:
      x: not below 0, so that the zeros around are never above what they stand beside.
    """
    for axis in (2, 1):
        before, even, odd = _taps(x, axis)
        x = _larger(_larger(before, even), odd)
    return x


def pooled(stage: Float[Array, "B h w C"]) -> Float[Array, "B C"]:
    """The maximum over all cells of a map, float32."""
    return stage.max(axis=(1, 2)).astype(jnp.float32)


def _taps(x: Float[Array, "B H W C"], axis: int) -> tuple[Array, Array, Array]:
    """The three cells of each window along an axis."""
    x = _pad(x, axis, 0, x.shape[axis] % 2)
    shape = (*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = jnp.moveaxis(x.reshape(shape), axis + 1, 0)
    before = jax.lax.slice_in_dim(_pad(odd, axis, 1, 0), 0, odd.shape[axis], axis=axis)
    return before, even, odd


def _pad(x: Array, axis: int, low: int, high: int) -> Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (low, high)
    return jnp.pad(x, widths)


def _larger(first: Array, second: Array) -> Array:
    # `jnp.maximum` would halve the gradient between equal values.
    return jnp.where(second > first, second, first)
