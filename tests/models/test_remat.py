"""Blocks that are computed again for the backward pass: less is kept, nothing changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.models import ResNet

PLAIN = ResNet(width=4, blocks=(0, 1, 0, 1))
REMAT = PLAIN.clone(remat=True)
X = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(PLAIN.init, static_argnums=2)(jax.random.key(0), X, False)


def loss_of(net, variables):
    def loss(params, x):
        given = {**variables, "params": params}
        out, new = net.apply(given, x, True, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(out)), new["batch_stats"]

    return loss


def test_the_parameters_have_the_same_names_and_shapes(variables):
    again = jax.eval_shape(lambda key: REMAT.init(key, X, False), jax.random.key(0))
    assert again == jax.eval_shape(lambda: variables)


def test_loss_gradient_and_statistics_are_the_same(variables):
    (a, a_stats), a_grad = value_and_grad(PLAIN, variables)
    (b, b_stats), b_grad = value_and_grad(REMAT, variables)
    assert float(a) == pytest.approx(float(b), rel=1e-6)
    for x, y in zip(
        jax.tree.leaves((a_stats, a_grad)), jax.tree.leaves((b_stats, b_grad)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6 * np.abs(y).max())


def value_and_grad(net, variables):
    call = jax.jit(jax.value_and_grad(loss_of(net, variables), has_aux=True))
    return call(variables["params"], X)


def test_only_what_enters_blocks_is_kept(variables):
    """Bytes of activations that the backward pass is handed for an item."""

    def kept(net, batch):
        x = jax.ShapeDtypeStruct((batch, *X.shape[1:]), X.dtype)
        back = jax.eval_shape(
            lambda p, x: jax.vjp(lambda p: loss_of(net, variables)(p, x)[0], p)[1],
            variables["params"],
            x,
        )
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(back))

    def an_item(net):  # what does not grow with the batch are parameters
        return (kept(net, 8) - kept(net, 4)) / 4

    stem = an_item(PLAIN.clone(blocks=(0, 0, 0, 0)))
    # What enters the two blocks, and what the loss is made of.
    floats = 8 * 8 * 4 + 4 * 4 * 8 + 4 * 4 * 32
    assert an_item(REMAT) - stem <= 4 * floats
    assert an_item(PLAIN) - stem > 3 * 4 * floats
