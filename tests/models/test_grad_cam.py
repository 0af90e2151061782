"""Class activation maps by hand, and what they pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.models.backbones.crnn import linear_softmax, linear_softmax_logits
from avloc.models.grad_cam import activation, grad_cam, linear_cam, pooled_by

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
KERNEL = RNG.normal(size=(5, 3)).astype(np.float32)


def head(maps):
    return maps.mean(axis=(1, 2)) @ KERNEL + 0.5


def test_of_a_linear_head_on_the_mean_it_is_the_heads_weights_times_the_map():
    found = grad_cam(head, jnp.asarray(MAPS))
    np.testing.assert_allclose(found, MAPS @ KERNEL, atol=1e-5)
    np.testing.assert_allclose(linear_cam(KERNEL, MAPS), MAPS @ KERNEL, atol=1e-5)


def test_it_is_grad_cam_times_the_number_of_cells():
    """Of a head that is not linear, class by class, by the paper's formula."""

    def score(maps):
        return jnp.tanh(maps[:, 1, 2] @ KERNEL) * maps.max(axis=(1, 2))[:, :3]

    found = np.asarray(grad_cam(score, jnp.asarray(MAPS)))
    for item in range(2):
        for c in range(3):
            grads = jax.grad(lambda x, i=item, k=c: score(x)[i, k])(jnp.asarray(MAPS))[item]
            expected = (MAPS[item] * grads.mean(axis=(0, 1))).sum(axis=-1)
            np.testing.assert_allclose(found[item, ..., c] / 12, expected, atol=1e-5)


@pytest.mark.parametrize("cam", [lambda x: grad_cam(head, x), lambda x: linear_cam(KERNEL, x)])
def test_no_gradient_flows_through_it(cam):
    assert not jax.grad(lambda x: cam(x).sum())(jnp.asarray(MAPS)).any()


def test_weights_are_not_below_zero():
    cam = jnp.float32([[[[-1.0], [0.05]], [[0.2], [2.0]]]])
    np.testing.assert_allclose(activation(cam)[0, ..., 0], [[0, 0.05], [0.2, 2.0]])
    np.testing.assert_allclose(activation(cam, threshold=0.1)[0, ..., 0], [[0, 0], [0.1, 1.9]])
    np.testing.assert_allclose(activation(cam, relu=False)[0, ..., 0], [[0, 1.05], [1.2, 3.0]])


def test_a_class_is_the_weighed_mean_of_cells():
    maps = jnp.float32([[[[1.0, 0.0], [0.0, 4.0]]]])  # one row of two cells
    weights = jnp.float32([[[[3.0, 0.0], [1.0, 0.0]]]])  # of two classes, the last without any
    np.testing.assert_allclose(pooled_by(weights, maps)[0], [[0.75, 1.0], [0.5, 2.0]])


def test_weights_of_another_resolution_keep_their_place():
    maps = jnp.zeros((1, 2, 1, 1)).at[0, 1].set(1.0)
    late = jnp.float32([0, 0, 0, 0, 1, 1, 1, 1]).reshape(1, 4, 2, 1)
    assert float(pooled_by(late, maps)[0, 0, 0]) > 0.8
    assert float(pooled_by(late[:, ::-1], maps)[0, 0, 0]) < 0.2


def test_linear_softmax_by_hand():
    p = jnp.float32([[[0.2, 0.0], [0.6, 0.0]]])
    np.testing.assert_allclose(linear_softmax(p)[0], [0.4 / 0.8, 1e-7], rtol=1e-5)
    logits = jnp.log(p / (1 - p)).at[..., 1].set(-100.0)
    found = linear_softmax_logits(logits)
    assert float(found[0, 0]) == pytest.approx(0.0, abs=1e-5) and np.isfinite(found).all()
    grads = jax.grad(lambda x: linear_softmax_logits(x).sum())(logits)
    assert np.isfinite(grads).all()
