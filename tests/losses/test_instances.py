"""Presence of sources, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from avloc import losses

SIMILARITY = jnp.array([[0.9, -0.2, 0.4], [0.1, 0.8, -1.0]])
TARGETS = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
ALL = jnp.array([True, True])


def test_sigmoid_presence_by_hand():
    p = losses.presence(jnp.array([0.5, -1.0]), 4.0, -2.0)
    np.testing.assert_allclose(p, [0.5, 1 / (1 + np.exp(6))], rtol=1e-6)


def test_clipped_presence_is_the_cosine_cut_to_0_and_1():
    p = losses.presence(jnp.array([-0.3, 0.25, 1.0]), 4.0, -2.0, "clip")
    np.testing.assert_allclose(p, [0, 0.25, 1])


def test_unknown_kind():
    with pytest.raises(ValueError, match=r"config\.prototypes\.probability is 'sigmoid' or 'clip'"):
        losses.presence(SIMILARITY, 1.0, 0.0, "softmax")


@pytest.mark.parametrize("kind", ["sigmoid", "clip"])
def test_instance_bce_is_the_mean_log_loss_over_sources(kind):
    got = losses.instance_bce(SIMILARITY, TARGETS, ALL, 3.0, -0.5, kind)
    p = np.asarray(losses.presence(SIMILARITY, 3.0, -0.5, kind), np.float64).ravel()
    expected = log_loss(np.asarray(TARGETS).ravel(), np.clip(p, 1e-6, 1 - 1e-6))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_instance_bce_of_one_source_by_hand():
    got = losses.instance_bce(jnp.array([[0.0]]), jnp.array([[1.0]]), ALL[:1], 10.0, 0.0)
    np.testing.assert_allclose(got, np.log(2), rtol=1e-6)


def test_masked_equals_subset():
    one = losses.instance_bce(SIMILARITY[:1], TARGETS[:1], ALL[:1], 3.0, 0.0)
    padded = losses.instance_bce(SIMILARITY, TARGETS, jnp.array([True, False]), 3.0, 0.0)
    np.testing.assert_allclose(padded, one, rtol=1e-6)


def test_gradient_stays_finite_where_the_sigmoid_is_flat():
    gradient = jax.grad(lambda x: losses.instance_bce(x, TARGETS, ALL, 1000.0, 0.0))(SIMILARITY)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
