import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.clustering import (
    CategoryMap,
    cluster_counts,
    cluster_frequencies,
    majority,
    match,
    purity_report,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, -1, 1])
CLUSTERS = np.array([0, 0, 2, 1, 1, 1, 0, -1])


def test_counts_and_frequencies_by_hand():
    np.testing.assert_array_equal(
        cluster_counts(LABELS, CLUSTERS, 3, 4), [[2, 1, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_allclose(
        cluster_frequencies(LABELS, CLUSTERS, 3, 4),
        [[0.5, 0.25, 0.25, 0], [0, 1, 0, 0], [0, 0, 0, 0]],
    )


@pytest.mark.parametrize(
    ("labels", "clusters", "words"),
    [([0, 2], [0, 0], "labels"), ([0, 1], [0, 3], "clusters"), ([0], [0, 1], "one label")],
)
def test_bad_labels_are_named(labels, clusters, words):
    with pytest.raises(ValueError, match=words):
        cluster_counts(np.array(labels), np.array(clusters), 2, 3)


def total(frequencies, categories):
    return frequencies[categories, np.arange(len(categories))].sum()


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 4), (2, 3), (3, 3), (3, 5), (4, 6)])
def test_match_equals_enumeration(n, k):
    rng = np.random.default_rng(n * 10 + k)
    for sparse in (0.0, 0.6):
        frequencies = rng.dirichlet(np.ones(k), size=n) * (rng.random((n, k)) > sparse)
        best = max(
            total(frequencies, np.array(categories))
            for categories in itertools.product(range(n), repeat=k)
            if set(categories) == set(range(n))
        )
        actual = match(frequencies)
        assert actual.shape == (k,) and set(actual) == set(range(n))
        np.testing.assert_allclose(total(frequencies, actual), best, rtol=1e-12)


def test_match_gives_a_weak_category_its_cluster():
    # Category 1 is second everywhere; it costs least in cluster 2.
    frequencies = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(match(frequencies), [0, 0, 1])
    np.testing.assert_array_equal(majority(frequencies), [0, 0, 0])


def test_match_does_not_change_its_input():
    frequencies = np.random.default_rng(0).random((3, 5))
    before = frequencies.copy()
    match(frequencies)
    np.testing.assert_array_equal(frequencies, before)


def test_fewer_clusters_than_categories_is_an_error():
    with pytest.raises(ValueError, match="2 clusters cannot cover 3 categories"):
        match(np.ones((3, 2)))


def test_majority_counts_samples_not_fractions():
    # Category 0 is ten times as frequent: its 4 of 40 outnumber all 3 of category 1.
    np.testing.assert_array_equal(majority(np.array([[36, 4], [0, 3]])), [0, 0])


def test_merge_sums_the_clusters_of_a_category():
    categories = CategoryMap((1, 0, 1, 1), ("bell", "drum", "horn"))
    maps = np.random.default_rng(0).random((2, 3, 3, 4)).astype(np.float32)
    expected = np.stack(
        [maps[..., 1], maps[..., 0] + maps[..., 2] + maps[..., 3], np.zeros((2, 3, 3))], axis=-1
    )
    merged = categories.merge(maps)
    assert isinstance(merged, np.ndarray) and merged.dtype == np.float32
    np.testing.assert_allclose(merged, expected, rtol=1e-6)
    with jax.numpy_dtype_promotion("strict"):
        jitted = jax.jit(categories.merge)(maps)
    np.testing.assert_allclose(jitted, expected, rtol=1e-6)
    np.testing.assert_allclose(categories.merge(maps[0, 0, 0]), expected[0, 0, 0], rtol=1e-6)


def test_merge_refuses_another_number_of_clusters():
    with pytest.raises(ValueError, match="3 clusters, but 2"):
        CategoryMap((0, 1), ("bell", "drum")).merge(np.zeros((2, 3)))


def test_category_map_survives_json():
    categories = CategoryMap(tuple(match(np.eye(3)).tolist()), ("bell", "drum", "horn"))
    assert CategoryMap.from_json(json.loads(json.dumps(categories.to_json()))) == categories


def test_unnamed_clusters_are_their_own_categories():
    categories = CategoryMap.unnamed(3)
    assert categories.names == ("object 1", "object 2", "object 3")
    np.testing.assert_array_equal(categories.merge(np.arange(3.0)), [0, 1, 2])


@pytest.mark.parametrize("of_cluster", [(0, 2), (-1, 0)])
def test_category_map_refuses_unknown_categories(of_cluster):
    with pytest.raises(ValueError, match="of_cluster"):
        CategoryMap(of_cluster, ("bell", "drum"))


def test_purity_report_by_hand():
    counts = cluster_counts(LABELS, CLUSTERS, 2, 4)  # [[2, 1, 1, 0], [0, 2, 0, 0]]
    report = purity_report(counts, CategoryMap((0, 1, 0, 1), ("bell", "drum")))
    assert report == [
        {"cluster": 0, "category": "bell", "size": 2, "purity": 1.0},
        {"cluster": 1, "category": "drum", "size": 3, "purity": 2 / 3},
        {"cluster": 2, "category": "bell", "size": 1, "purity": 1.0},
        {"cluster": 3, "category": "drum", "size": 0, "purity": 0.0},
        {"cluster": "all", "category": "", "size": 6, "purity": 5 / 6},
    ]
    json.dumps(report)


def test_presence_is_that_of_the_surest_cluster():
    """Three clusters at 0.2 are not a category at 0.6; one without a cluster is absent."""
    categories = CategoryMap((1, 0, 1, 1), ("cello", "flute", "tuba"))
    scores = np.array([[0.2, 0.7, 0.2, 0.2], [0.9, 0, 0.3, 0.9]], np.float32)
    expected = np.float32([[0.7, 0.2, 0], [0, 0.9, 0]])
    np.testing.assert_array_equal(categories.strongest(scores), expected)
    np.testing.assert_array_equal(jax.jit(categories.strongest)(jnp.asarray(scores)), expected)
    with pytest.raises(ValueError, match="scores have 3 clusters, but 4"):
        categories.strongest(scores[:, :3])
