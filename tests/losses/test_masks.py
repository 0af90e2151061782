"""The loss of masks by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from avloc.losses import mask_error
from avloc.separation.masking import targets, weights


@pytest.mark.parametrize("kind", ["binary", "ratio"])
def test_mask_error_by_hand(kind):
    rng = np.random.default_rng(0)
    logits, weight = rng.normal(size=(2, 3, 4, 5)), rng.uniform(size=(2, 4, 5))
    ideal = (
        rng.integers(0, 2, (2, 3, 4, 5)) if kind == "binary" else rng.uniform(0, 5, (2, 3, 4, 5))
    )
    p = expit(logits)
    if kind == "binary":
        error = -ideal * np.log(p) - (1 - ideal) * np.log(1 - p)
    else:
        error = np.abs(p - ideal)
    expected = [np.mean([np.mean(weight[b] * error[b, n]) for n in range(3)]) for b in range(2)]
    got = mask_error(*map(jnp.asarray, (logits, ideal, weight)), kind)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_ideal_masks_and_weights_by_hand():
    source, mixture = jnp.array([0.0, 1.0, 3.0, 60.0]), jnp.array([0.0, 2.0, 4.0, 5.0])
    np.testing.assert_array_equal(targets(source, mixture, "binary"), [0, 0, 1, 1])
    np.testing.assert_allclose(targets(source, mixture, "ratio"), [0, 0.5, 0.75, 5], rtol=1e-6)
    np.testing.assert_allclose(
        weights(jnp.array([0.0, 1.0, 1e9])), [1e-3, np.log(2), 10], rtol=1e-6
    )
    with pytest.raises(ValueError, match="not 'soft'"):
        targets(source, mixture, "soft")
