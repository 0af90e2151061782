"""The Cross-modal Referrer, by hand (IEr eq. 3 to 6 and 11 to 16)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from avloc import losses
from avloc.losses.referrer import MASK_RULES

# Two pictures of 1 x 4 cells, two sources: [B, h, w, K].
MAPS = jnp.moveaxis(
    jnp.array(
        [
            [[[0.9, 0.1, 0.1, 0.1]], [[0.2, 0.2, 0.0, 0.0]]],
            [[[0.5, 0.5, 0.5, 0.5]], [[0.0, 0.0, 0.0, 0.4]]],
        ]
    ),
    1,
    -1,
)
BOTH = jnp.array([True, True])
# Of source 0: 1.2 + 2.0 over 8 cells; of source 1: 0.4 + 0.4 over 8 cells.
MEANS = (0.4, 0.1)


@pytest.mark.parametrize(
    ("rule", "threshold", "expected"),
    [
        # Cells above 0.3.
        ("constant", 0.3, [[0.25, 0], [1, 0.25]]),
        # Above half of 0.9.
        ("batch_ratio", 0.5, [[0.25, 0], [1, 0]]),
        # Above half of 0.9, 0.2, 0.5 and 0.4.
        ("sample_ratio", 0.5, [[0.25, 0.5], [1, 0.25]]),
        # The mean of each map.
        ("none", 0.5, [[0.3, 0.1], [0.5, 0.1]]),
        # Above 0.4 and 0.1.
        ("batch_mean", 0.5, [[0.25, 0.5], [1, 0.25]]),
    ],
)
def test_mask_rules_by_hand(rule, threshold, expected):
    got = losses.visible_share(MAPS, BOTH, rule, threshold)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    jitted = jax.jit(losses.visible_share, static_argnums=(2, 3))(MAPS, BOTH, rule, threshold)
    np.testing.assert_array_equal(jitted, got)


@pytest.mark.parametrize("rule", MASK_RULES)
def test_padding_counts_in_no_threshold(rule):
    padded = jnp.concatenate([MAPS, jnp.ones((1, *MAPS.shape[1:]))])
    got = losses.visible_share(padded, jnp.array([True, True, False]), rule)
    np.testing.assert_allclose(got[:2], losses.visible_share(MAPS, BOTH, rule), rtol=1e-6)


@pytest.mark.parametrize("rule", MASK_RULES)
def test_no_gradient_flows_through_the_mask(rule):
    gradient = jax.grad(lambda maps: losses.visible_share(maps, BOTH, rule).sum())(MAPS)
    assert not np.asarray(gradient).any()


def test_unknown_rule():
    with pytest.raises(ValueError, match=r"config\.stage_two\.mask_rule is one of constant, "):
        losses.visible_share(MAPS, BOTH, "median")


def test_the_offscreen_filter_by_hand():
    heard = jnp.array([[0.9, 0.6, 0.1]])
    share = jnp.array([[0.2, 0.0, 0.2]])  # source 1 is heard, but not seen
    got = losses.audio_guided_logits(heard, share)
    np.testing.assert_allclose(got, [[0.9, 0, 0.1]], rtol=1e-5)
    without = losses.audio_guided_logits(heard, None, scale=2.0)
    np.testing.assert_allclose(without, 2 * heard / 1.6, rtol=1e-5)


def test_nothing_seen_is_no_division_by_zero():
    got = losses.audio_guided_logits(jnp.array([[0.9, 0.6]]), jnp.zeros((1, 2)))
    np.testing.assert_array_equal(got, [[0, 0]])


def test_visual_guided_logits_are_the_means_of_the_maps():
    np.testing.assert_allclose(losses.visual_guided_logits(MAPS, 10.0), [[3, 1], [5, 1]], rtol=1e-6)


def test_cross_distillation_is_half_of_both_divergences():
    seen, heard = jnp.array([[3.0, 1.0, 0.0]]), jnp.array([[0.5, 0.5, 2.0]])
    p, q = (softmax(np.asarray(x, np.float64))[0] for x in (seen, heard))
    expected = 0.5 * rel_entr(p, q).sum() + 0.5 * rel_entr(q, p).sum()
    for targets in ("soft", "both"):
        got = losses.cross_distillation(seen, heard, jnp.array([True]), targets)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def gradients(targets):
    seen, heard = jnp.array([[3.0, 1.0, 0.0]]), jnp.array([[0.5, 0.5, 2.0]])
    loss = lambda s, h: losses.cross_distillation(s, h, jnp.array([True]), targets)  # noqa: E731
    return [np.asarray(g)[0] for g in jax.grad(loss, argnums=(0, 1))(seen, heard)]


def test_soft_targets_get_no_gradient():
    """d KL(p || softmax(x)) / dx = softmax(x) - p, the whole gradient of a term's student."""
    p, q = softmax([3.0, 1.0, 0.0]), softmax([0.5, 0.5, 2.0])
    to_seen, to_heard = gradients("soft")
    np.testing.assert_allclose(to_seen, 0.5 * (p - q), atol=1e-6)
    np.testing.assert_allclose(to_heard, 0.5 * (q - p), atol=1e-6)


def test_with_both_the_targets_learn_too():
    """d KL(softmax(x) || q) / dx_k = p_k (log p_k / q_k - KL)."""
    p, q = softmax([3.0, 1.0, 0.0]), softmax([0.5, 0.5, 2.0])
    ratio = np.log(p / q)
    to_seen, _ = gradients("both")
    expected = 0.5 * (p - q) + 0.5 * p * (ratio - (p * ratio).sum())
    np.testing.assert_allclose(to_seen, expected, atol=1e-6)


def test_unknown_targets():
    with pytest.raises(ValueError, match=r"config\.stage_two\.targets is 'soft' or 'both'"):
        losses.cross_distillation(jnp.zeros((1, 2)), jnp.zeros((1, 2)), BOTH[:1], "hard")


def test_padding_is_left_out_of_the_distillation():
    seen, heard = jnp.array([[3.0, 1.0], [9.0, -9.0]]), jnp.array([[0.0, 1.0], [-9.0, 9.0]])
    one = losses.cross_distillation(seen[:1], heard[:1], BOTH[:1])
    padded = losses.cross_distillation(seen, heard, jnp.array([True, False]))
    np.testing.assert_allclose(padded, one, rtol=1e-6)
