"""C2F's alignment by hand: which pairs count, how far apart, and what does not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc import losses

# Two clips, two classes, in the plane: 60 degrees are a distance of 1, 90 of sqrt 2, 180 of 2.
A, B, C, D = (np.float32([np.cos(t), np.sin(t)]) for t in np.deg2rad([0, 60, 90, 180]))
HEARD = np.stack([np.stack([A, C]), np.stack([B, A])])
SEEN = np.stack([np.stack([B, A]), np.stack([D, A])])
VALID = np.array([[True, False], [True, True]])
VIDEOS = np.arange(2)


def align(valid=VALID, video=VIDEOS, **how):
    return losses.alignment(HEARD, SEEN, valid, video, **how)


def distance(x, y):
    return np.linalg.norm(x - y)


def by_hand(valid, video, margin):
    """Each pair in its turn: squared distances of positives, hinges of the others."""
    near, far = [], []
    for i in range(2):
        for m in range(2):
            for j in range(2):
                for n in range(2):
                    if not (valid[i, m] and valid[j, n]):
                        continue
                    d = distance(HEARD[i, m], SEEN[j, n])
                    if i == j and m == n:
                        near.append(d**2)
                    elif video[i] != video[j] or m != n:
                        far.append(max(margin - d, 0) ** 2)
    return near, far


def test_a_distance_is_that_of_unit_vectors():
    cosine = jnp.float32([1.0, 0.5, 0.0, -1.0])
    np.testing.assert_allclose(losses.distances(cosine), [0, 1, 2**0.5, 2], atol=1e-6)


def test_the_papers_sum():
    # Positives: A-B (1), B-D (120 degrees: 3), A-A (0). Heard A, B, A of the valid classes.
    # Others: A-D (2), A-A (0), B-B (0), B-A (1), A-B (1), A-D (2): hinges of 1.5.
    out = align(margin=1.5)
    assert float(out.loss) == pytest.approx(1 + 3 + 0 + 0 + 2.25 + 2.25 + 0.25 + 0.25 + 0, abs=1e-4)
    assert float(out.positive) == pytest.approx((1 + 3**0.5 + 0) / 3, abs=1e-4)
    assert float(out.negative) == pytest.approx((2 + 0 + 0 + 1 + 1 + 2) / 6, abs=1e-4)


@pytest.mark.parametrize("margin", [1.4, 2.0])
@pytest.mark.parametrize("video", [VIDEOS, np.zeros(2, int)], ids=["two videos", "one video"])
@pytest.mark.parametrize("valid", [VALID, np.ones((2, 2), bool)], ids=["some", "all"])
def test_pair_after_pair(valid, video, margin):
    near, far = by_hand(valid, video, margin)
    total = align(valid, video, margin=margin).loss
    means = align(valid, video, margin=margin, form="means").loss
    assert float(total) == pytest.approx(sum(near) + sum(far), abs=1e-4)
    assert float(means) == pytest.approx(np.mean(near) + np.mean(far), abs=1e-4)


def test_equal_vectors_and_no_valid_class_have_a_finite_gradient():
    def loss(heard, valid):
        return losses.alignment(heard, heard, valid, VIDEOS, form="means").loss

    for valid in (np.ones((2, 2), bool), np.zeros((2, 2), bool)):
        value, grads = jax.value_and_grad(loss)(jnp.asarray(HEARD), valid)
        assert np.isfinite(value) and np.isfinite(grads).all()
    assert float(value) == 0 and not grads.any()


def test_an_unknown_form():
    with pytest.raises(ValueError, match=r"stage_two\.form is 'sum' or 'means', not 'mean'"):
        align(form="mean")


def test_soft_targets_of_several_labels():
    logits, targets = jnp.float32([[0.0, 2.0], [5.0, 5.0]]), jnp.float32([[0.8, 0.0], [1, 1]])
    expected = (np.log(2) + np.log1p(np.exp(2.0))) / 2  # the second row is padding
    found = losses.multi_label_bce(logits, targets, jnp.array([True, False]))
    assert float(found) == pytest.approx(expected, rel=1e-6)
