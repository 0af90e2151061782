"""Quadratic forms of inverses of block Toeplitz matrices, by block Levinson recursion."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_RIDGE = 1e-11
"""Share of its own size that is added to the diagonal, so that the recursion stays regular."""

_STRETCHES = 4


def inverse_form(
    lags: Float[Array, "B N N 2D"], right: Float[Array, "B N E D"]
) -> Float[Array, "B E"]:
    """`d G^-1 d` of each right side `d`, in `D^2` steps' work where Cholesky takes `D^3`.

    `G` has a row for each delay of each source: that of delay a of source i with delay b of
    source j is lag a - b of `lags[i, j]`. The recursion (Whittle 1963) gives `x`, near `G^-1 d`;
    `2 d x - x G x` is then the form up to the square of the error.

    Args:
      lags: correlations at lags 0 .. D - 1, then those at -D .. -1.
      right: D entries for each source.
    """
    right = right.swapaxes(1, 2)
    x = _solved(lags, right)
    size = lags.shape[-1]
    kernel, spectrum = jnp.fft.rfft(lags), jnp.fft.rfft(x, size)
    product = jnp.sum(kernel[:, None] * spectrum[:, :, None], axis=3)
    forward = jnp.fft.irfft(product, size)[..., : right.shape[-1]]
    return jnp.sum((2 * right - forward) * x, axis=(2, 3))


def _solved(
    lags: Float[Array, "B N N 2D"], right: Float[Array, "B E N D"]
) -> Float[Array, "B E N D"]:
    """The solutions of the systems of 1, 2, .. D delays, each from the one before.

    `ahead` and `behind`, `[B, N, N, D]`, solve the system for each source's first and last delay
    alone, up to the factors `energy`.
    """
    count, delays = lags.shape[1], right.shape[-1]
    eye = jnp.broadcast_to(jnp.eye(count, dtype=lags.dtype), (len(lags), count, count))
    zero = lags[..., 0] * (1 + _RIDGE * eye)
    # Lags D .. 1, so that a slice has lags m .. 1 where it begins at D - m.
    falling = jnp.pad(lags[..., delays - 1 : 0 : -1], [(0, 0)] * 3 + [(1, delays)])

    def times(small: Float[Array, "B N E"], blocks: Float[Array, "B N N D"]) -> Array:
        return jnp.sum(small[..., None, None] * blocks[:, :, None], axis=1)

    def step(m: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        both, behind, energy_ahead, energy_behind = state
        window = jax.lax.dynamic_slice_in_dim(falling, delays - m, both.shape[3], axis=3)
        # What the old solutions give at the new delay: of `ahead`, and of `x`.
        given = jnp.matmul(
            window.reshape(*eye.shape[:2], -1), both.reshape(*both.shape[:2], -1).swapaxes(1, 2)
        )
        miss, back = given[..., :count], given[..., :count].swapaxes(1, 2)
        shifted = jnp.pad(behind[..., :-1], [(0, 0)] * 3 + [(1, 0)])
        to_ahead, to_behind = _solve(energy_behind, miss), _solve(energy_ahead, back)
        ahead, x = both[:, :count], both[:, count:]
        behind = shifted - times(to_behind, ahead)
        ahead = ahead - times(to_ahead, shifted)
        energy_ahead = energy_ahead - jnp.matmul(back, to_ahead)
        energy_behind = energy_behind - jnp.matmul(miss, to_behind)
        wanted = jax.lax.dynamic_index_in_dim(right, m, axis=3, keepdims=False).swapaxes(1, 2)
        x = x + times(_solve(energy_behind, wanted - given[..., count:]), behind)
        return jnp.concatenate([ahead, x], axis=1), behind, energy_ahead, energy_behind

    x = _solve(zero, right[..., 0].swapaxes(1, 2)).swapaxes(1, 2)
    state = jnp.concatenate([eye, x], axis=1)[..., None], eye[..., None], zero, zero
    done = 1
    # In a few stretches, each with room for its own delays alone: later ones are still zero.
    for end in range(stretch := -(-delays // _STRETCHES), delays + stretch, stretch):
        end = min(end, delays)
        state = (
            tuple(jnp.pad(part, [(0, 0)] * 3 + [(0, end - part.shape[3])]) for part in state[:2])
            + state[2:]
        )
        state = jax.lax.fori_loop(done, end, step, state)
        done = end
    return state[0][:, count:]


def _solve(matrix: Float[Array, "B N N"], right: Float[Array, "B N E"]) -> Float[Array, "B N E"]:
    """Of positive matrices: by hand where they are small, as most are."""
    if matrix.shape[-1] == 1:
        return right / matrix
    if matrix.shape[-1] == 2:
        (a, b), (c, d) = (matrix[:, row, :, None].swapaxes(0, 1) for row in range(2))
        top, bottom = right[:, 0], right[:, 1]
        made = jnp.stack([d * top - b * bottom, a * bottom - c * top], axis=1)
        return made / (a * d - b * c)[:, None]
    return jnp.linalg.solve(matrix, right)
