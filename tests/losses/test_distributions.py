"""Losses on distributions against scipy and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from avloc.losses import cross_entropy, kl_divergence, masked_mean

KEEP = np.array([True, True, False, True])


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32) * 2


def test_masked_mean_by_hand():
    assert masked_mean(jnp.array([1.0, 2.0, 90.0, 6.0]), KEEP) == pytest.approx(3.0)
    assert float(masked_mean(jnp.array([1.0, 2.0]), np.zeros(2, bool))) == 0.0


def test_cross_entropy_equals_scikit_learn(logits):
    labels = np.array([0, 2, 1, 1])
    expected = log_loss(labels[KEEP], softmax(logits[0][KEEP].astype(np.float64), -1))
    got = cross_entropy(logits[0], np.eye(3, dtype=np.float32)[labels], KEEP)
    assert got == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_with_soft_targets_by_hand(logits):
    targets = np.float32([[0.5, 0.5, 0], [1, 0, 0], [0, 0, 1], [0.2, 0.3, 0.5]])
    log_p = np.log(softmax(logits[0].astype(np.float64), -1))
    expected = -(targets * log_p).sum(-1)[KEEP].mean()
    assert cross_entropy(logits[0], targets, KEEP) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_ignorance_is_ln_k():
    loss = cross_entropy(jnp.zeros((4, 7)), np.eye(7, dtype=np.float32)[:4], np.ones(4, bool))
    assert loss == pytest.approx(np.log(7), rel=1e-6)


def test_kl_equals_scipy_and_is_not_symmetric(logits):
    p, q = softmax(logits.astype(np.float64), axis=-1)
    forward = np.mean([entropy(p[i], q[i]) for i in np.flatnonzero(KEEP)])
    backward = np.mean([entropy(q[i], p[i]) for i in np.flatnonzero(KEEP)])
    assert abs(forward - backward) > 1e-2
    assert kl_divergence(*logits, KEEP) == pytest.approx(forward, rel=1e-5)
    assert kl_divergence(*logits[::-1], KEEP) == pytest.approx(backward, rel=1e-5)


def test_kl_by_hand():
    # p = (3/4, 1/4), q = (1/2, 1/2).
    p = jnp.log(jnp.array([[3.0, 1.0]]))
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    got = kl_divergence(p, jnp.zeros((1, 2)), np.ones(1, bool))
    assert got == pytest.approx(expected, rel=1e-5)


def test_kl_of_equals_is_zero_and_flat(logits):
    value, gradient = jax.value_and_grad(kl_divergence)(logits[0], logits[0], KEEP)
    assert abs(float(value)) < 1e-6 and np.abs(gradient).max() < 1e-6


def losses(logits):
    targets = np.float32([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0.5, 0.5, 0]])
    yield lambda x, keep, pick=slice(None): cross_entropy(x[pick], targets[pick], keep)
    yield lambda x, keep, pick=slice(None): kl_divergence(x[pick], logits[1][pick], keep)
    yield lambda x, keep, pick=slice(None): kl_divergence(logits[1][pick], x[pick], keep)


def test_masked_equals_subset_and_jit_equals_no_jit(logits):
    for loss in losses(logits):
        whole = float(loss(logits[0], KEEP))
        assert whole == pytest.approx(float(loss(logits[0], np.ones(3, bool), KEEP)), rel=1e-6)
        assert whole == pytest.approx(float(jax.jit(loss)(logits[0], KEEP)), rel=1e-6)


@pytest.mark.parametrize("keep", [KEEP, np.zeros(4, bool)])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_gradient_is_finite_and_zero_where_masked(keep, size, logits):
    for loss in losses(logits):
        value, gradient = jax.value_and_grad(loss)(size * logits[0], keep)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        assert (np.asarray(gradient)[~keep] == 0).all()
