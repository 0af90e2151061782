"""Match losses: hand values, numpy loops, masks, gradients at the extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.losses import info_nce, match_bce, pool, quarters


def masks(videos, keep):
    """Positive and negative pairs of a batch, by loops."""
    size = len(videos)
    positive, negative = np.zeros((2, size, size), bool)
    for i in range(size):
        positive[i, i] = keep[i]
        for j in range(size):
            negative[i, j] = keep[i] and keep[j] and videos[i] != videos[j]
    return positive, negative


# Items 1 and 3 are of one video; item 4 is padding.
VIDEOS, KEEP = [0, 1, 2, 1, 0], [True, True, True, True, False]


@pytest.fixture
def scores():
    return np.random.default_rng(0).uniform(-1, 1, (5, 5)).astype(np.float32)


def test_max_pooling():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(pool(maps, "max"), maps.max(axis=(2, 3)))


def test_log_mean_exp_lies_between_mean_and_maximum():
    maps = np.random.default_rng(0).uniform(-1, 1, (3, 4, 4)).astype(np.float32)
    near_mean, sharp = pool(maps, "log_mean_exp", 1e-2), pool(maps, "log_mean_exp", 1e3)
    np.testing.assert_allclose(near_mean, maps.mean(axis=(1, 2)), atol=0.01)
    np.testing.assert_allclose(sharp, maps.max(axis=(1, 2)), atol=0.01)
    by_hand = np.log(np.exp(20 * maps.astype(np.float64)).mean(axis=(1, 2))) / 20
    np.testing.assert_allclose(pool(maps, "log_mean_exp"), by_hand, rtol=1e-4)


def test_log_mean_exp_reaches_every_cell():
    maps = jnp.array([[0.1, 0.2], [0.3, 0.4]])
    gradient = jax.grad(lambda m: pool(m, "log_mean_exp", 4.0))(maps)
    # The gradient is the softmax of 4 x the map.
    weights = np.exp(4 * np.asarray(maps))
    np.testing.assert_allclose(gradient, weights / weights.sum(), rtol=1e-5)


def test_unknown_pooling():
    with pytest.raises(ValueError, match="pooling is 'max' or 'log_mean_exp', not 'mean'"):
        pool(jnp.zeros((2, 2)), "mean")


def test_match_bce_by_hand():
    logits = jnp.array([[2.0, -1.0], [0.5, 0.0]])
    positive, negative = np.eye(2, dtype=bool), ~np.eye(2, dtype=bool)
    # -log sigmoid(x) = log(1 + e^-x); a negative counts log(1 + e^x).
    right = (np.log1p(np.exp(-2.0)) + np.log(2)) / 2
    wrong = (np.log1p(np.exp(-1.0)) + np.log1p(np.exp(0.5))) / 2
    assert match_bce(logits, positive, negative) == pytest.approx((right + wrong) / 2, rel=1e-6)


def test_match_bce_of_ignorance_is_ln_2():
    positive, negative = masks(VIDEOS, KEEP)
    assert match_bce(jnp.zeros((5, 5)), positive, negative) == pytest.approx(np.log(2), rel=1e-6)


def reference_bce(logits, videos, keep):
    right, wrong = [], []
    for i in range(len(videos)):
        for j in range(len(videos)):
            probability = 1 / (1 + np.exp(-np.float64(logits[i, j])))
            if keep[i] and i == j:
                right.append(-np.log(probability))
            elif keep[i] and keep[j] and videos[i] != videos[j]:
                wrong.append(-np.log(1 - probability))
    return (np.mean(right) + np.mean(wrong)) / 2


def reference_info_nce(scores, videos, keep, temperature):
    scores, losses = np.float64(scores) / temperature, {"rows": [], "columns": []}
    for i in range(len(videos)):
        if not keep[i]:
            continue
        others = [j for j in range(len(videos)) if keep[j] and videos[j] != videos[i]]
        for way, line in (("rows", scores[i]), ("columns", scores[:, i])):
            total = np.exp(line[i]) + sum(np.exp(line[j]) for j in others)
            losses[way].append(np.log(total) - line[i])
    return (np.mean(losses["rows"]) + np.mean(losses["columns"])) / 2


def test_match_bce_equals_a_loop(scores):
    expected = reference_bce(5 * scores, VIDEOS, KEEP)
    assert match_bce(5 * scores, *masks(VIDEOS, KEEP)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_equals_a_loop(scores, temperature):
    expected = reference_info_nce(scores, VIDEOS, KEEP, temperature)
    got = info_nce(scores, *masks(VIDEOS, KEEP), temperature)
    assert got == pytest.approx(expected, rel=1e-5)


def test_info_nce_by_hand():
    scores = jnp.array([[0.3, 0.1], [0.0, 0.2]])
    rows = np.log(1 + np.exp(-2.0)) + np.log(1 + np.exp(-2.0))
    columns = np.log(1 + np.exp(-3.0)) + np.log(1 + np.exp(-1.0))
    got = info_nce(scores, np.eye(2, dtype=bool), ~np.eye(2, dtype=bool), 0.1)
    assert got == pytest.approx((rows + columns) / 4, rel=1e-5)


def test_info_nce_with_several_positives(scores):
    """Sound 0 holds clips 0 and 1: images 0 and 1 match it; image 2 matches nothing."""
    positive = np.zeros((5, 5), bool)
    positive[[0, 1, 1, 3, 4], [0, 0, 1, 3, 4]] = True
    negative = ~positive & (np.arange(5) != 2)[:, None]
    logits = np.float64(scores) / 0.1
    logits[~(positive | negative)] = -np.inf
    ways = []
    for lines, matches in ((logits, positive), (logits.T, positive.T)):
        losses = [
            np.mean([np.log(np.exp(line).sum()) - line[j] for j in np.flatnonzero(match)])
            for line, match in zip(lines, matches, strict=True)
            if match.any()
        ]
        ways.append(np.mean(losses))
    value, gradient = jax.value_and_grad(info_nce)(scores, positive, negative)
    assert value == pytest.approx(np.mean(ways), rel=1e-5)
    assert np.isfinite(gradient).all() and (gradient[2] == 0).all()


@pytest.mark.parametrize("loss", [match_bce, info_nce])
def test_masked_equals_subset(loss, scores):
    whole = loss(scores, *masks(VIDEOS, KEEP))
    part = loss(scores[:4, :4], *masks(VIDEOS[:4], KEEP[:4]))
    assert whole == pytest.approx(float(part), rel=1e-6)


@pytest.mark.parametrize("loss", [match_bce, info_nce])
@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize(
    "keep, videos",
    [
        (KEEP, VIDEOS),
        ([False] * 5, VIDEOS),
        ([True] * 5, [0] * 5),  # one video: no negative
        ([True] + [False] * 4, VIDEOS),
    ],
)
def test_gradient_is_finite(loss, size, keep, videos, scores):
    value, gradient = jax.value_and_grad(loss)(size * scores, *masks(videos, keep))
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert (np.asarray(gradient)[~np.logical_or(*masks(videos, keep))] == 0).all()


@pytest.mark.parametrize("loss", [match_bce, info_nce])
def test_nothing_to_match_costs_nothing(loss, scores):
    none = np.zeros((5, 5), bool)
    assert float(loss(scores, none, none)) == 0.0


@pytest.mark.parametrize("loss", [match_bce, info_nce])
def test_jit_equals_no_jit(loss, scores):
    pairs = masks(VIDEOS, KEEP)
    assert jax.jit(loss)(scores, *pairs) == pytest.approx(float(loss(scores, *pairs)), rel=1e-6)


def test_quarters_of_a_map():
    maps = jnp.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_array_equal(quarters(maps, 2, "max"), [[5, 7, 13, 15]])
    np.testing.assert_array_equal(quarters(maps, 1, "max"), [[15]])
    # Of three rows, both halves have the middle one, as in adaptive pooling.
    odd = jnp.array([[9.0, 1, 2], [3, 4, 0], [6, 7, 8]])
    np.testing.assert_array_equal(quarters(odd, 2, "max"), [9, 4, 7, 8])


def test_every_part_of_a_negative_pair_is_a_negative():
    logits = jnp.array([[2.0, -1.0], [0.5, 0.0]])
    parts = jnp.array([[[9.0, 9.0], [-1.0, -3.0]], [[0.5, 0.25], [9.0, 9.0]]])
    positive, negative = np.eye(2, dtype=bool), ~np.eye(2, dtype=bool)

    def softplus(x):
        return np.log1p(np.exp(x))

    right = (softplus(-2) + softplus(0)) / 2
    wrong = (softplus(-1) + softplus(-3) + softplus(0.5) + softplus(0.25)) / 4
    loss = match_bce(logits, positive, negative, parts)
    assert loss == pytest.approx((right + wrong) / 2, rel=1e-6)
