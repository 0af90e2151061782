"""The comparisons give the values and the gradient of Flax's windows."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.models.pooling import max_pool_3x3


def windows(x):
    return nn.max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), strides=(2, 2))


def both(pool):
    """Value and gradient, compiled."""

    def run(x, g):
        y, back = jax.vjp(pool, x)
        return y, back(g)[0]

    return jax.jit(run)


def test_by_hand():
    x = jnp.array([[1.0, 5.0, 2.0], [0.0, 3.0, 7.0], [4.0, 0.0, 6.0]])[None, :, :, None]
    np.testing.assert_array_equal(max_pool_3x3(x)[0, :, :, 0], [[5, 7], [4, 7]])
    gradient = jax.grad(
        lambda x: jnp.sum(max_pool_3x3(x) * jnp.array([[1.0, 2], [3, 4]])[..., None])
    )
    np.testing.assert_array_equal(gradient(x)[0, :, :, 0], [[0, 1, 0], [0, 0, 2 + 4], [3, 0, 0]])


@pytest.mark.parametrize("height, width", [(8, 8), (7, 9), (1, 2), (101, 32)])
def test_values_and_gradients_are_those_of_windows(height, width):
    key = jax.random.key(height)
    # Few values, so that windows hold equal ones.
    x = jnp.maximum(jnp.round(jax.random.normal(key, (2, height, width, 3)) * 2), 0) / 2
    g = jax.random.normal(jax.random.fold_in(key, 1), (2, -(-height // 2), -(-width // 2), 3))
    y, gradient = both(windows)(x, g)
    ours, our_gradient = both(max_pool_3x3)(x, g)
    np.testing.assert_array_equal(ours, y)
    # Beside the border a zero may stand behind the padding's: after ReLU it has no gradient.
    np.testing.assert_allclose(
        jnp.where(x > 0, our_gradient, 0), jnp.where(x > 0, gradient, 0), rtol=1e-6, atol=1e-6
    )
