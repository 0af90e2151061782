import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.clustering import (
    dictionary,
    object_representations_mask,
    object_representations_weighted,
)


@pytest.fixture(autouse=True)
def strict_promotion():
    with jax.numpy_dtype_promotion("strict"):
        yield


def covered(points, side=5):
    """Cells of a `side` x `side` map that count when l is high at the points."""
    localization = np.zeros((1, side, side), np.float32)
    for y, x in points:
        localization[0, y, x] = 0.06
    # One channel a cell, so that each cell's share of the mean can be read.
    features = np.eye(side * side, dtype=np.float32).reshape(1, side, side, side * side)
    means = object_representations_mask(features, localization)
    return {divmod(int(c), side) for c in np.flatnonzero(np.asarray(means)[0])}, means


def test_inner_cells_spread_as_a_plus():
    cells, means = covered([(2, 2)])
    assert cells == {(2, 2), (1, 2), (3, 2), (2, 1), (2, 3)}
    # The mean is over all 25 cells.
    np.testing.assert_allclose(means.max(), 1 / 25)


def test_border_is_reached_but_does_not_spread():
    assert covered([(0, 2), (4, 4), (2, 0)])[0] == {(0, 2), (4, 4), (2, 0)}
    assert covered([(1, 1)])[0] == {(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)}


def test_mask_equals_a_loop():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 7, 6, 4)).astype(np.float32)
    localization = rng.uniform(0, 0.2, (3, 7, 6)).astype(np.float32)
    expected = np.zeros((3, 4))
    for b in range(3):
        mask = localization[b] > 0.15
        wide = mask.copy()
        for y in range(1, 6):
            for x in range(1, 5):
                if mask[y, x]:
                    wide[[y - 1, y + 1, y, y], [x, x, x - 1, x + 1]] = True
        expected[b] = features[b][wide].sum(axis=0) / 42
    actual = object_representations_mask(features, localization, threshold=0.15)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    jitted = jax.jit(object_representations_mask)(features, localization, 0.15)
    np.testing.assert_allclose(jitted, actual, rtol=1e-6, atol=1e-7)


def test_threshold_itself_is_out():
    features = np.ones((1, 3, 3, 1), np.float32)
    at_threshold = np.full((1, 3, 3), 0.5, np.float32)
    assert object_representations_mask(features, at_threshold, 0.5)[0, 0] == 0


def test_weighted_by_hand():
    features = np.array([[[[1.0, 2.0], [3.0, -4.0]]]], np.float32)
    localization = np.array([[[0.2, 0.6]]], np.float32)
    # (0.2 * 1 + 0.6 * 3) / 0.8, (0.2 * 2 - 0.6 * 4) / 0.8
    actual = object_representations_weighted(features, localization)
    np.testing.assert_allclose(actual, [[2.5, -2.5]], rtol=1e-6)
    jitted = jax.jit(object_representations_weighted)(features, localization)
    np.testing.assert_allclose(jitted, actual, rtol=1e-6)


def test_weighted_is_finite_where_nothing_is_located():
    def total(features, localization):
        return object_representations_weighted(features, localization).sum()

    features, nothing = jnp.ones((1, 2, 2, 3)), jnp.zeros((1, 2, 2))
    np.testing.assert_array_equal(object_representations_weighted(features, nothing), 0)
    for gradient in jax.grad(total, argnums=(0, 1))(features, nothing):
        assert np.isfinite(gradient).all()


def test_keys_are_means_of_unmasked_rows():
    rows = np.array([[1, 2], [3, 4], [10, 10], [5, 0], [np.nan, 7]], np.float32)
    labels = np.array([1, 1, 0, 1, -1], np.int32)
    expected = [[10, 10], [3, 2], [0, 0]]
    np.testing.assert_allclose(dictionary(rows, labels, 3), expected)
    jitted = jax.jit(dictionary, static_argnums=2)(rows, labels, 3)
    np.testing.assert_allclose(jitted, expected)


def test_a_mask_may_stay_as_it_is():
    features = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    localization = np.zeros((1, 5, 5), np.float32)
    localization[0, 2, 2], localization[0, 0, 1] = 0.04, 0.06  # cells 12 and 1
    for threshold, dilated, cells in (
        (0.05, False, [1]),
        (0.03, False, [1, 12]),
        (0.03, True, [1, 7, 11, 12, 13, 17]),
        (0.07, True, []),
    ):
        found = object_representations_mask(features, localization, threshold, dilated)
        assert found[0, 0] == pytest.approx(sum(cells) / 25, rel=1e-6)
