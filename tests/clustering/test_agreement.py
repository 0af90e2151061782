import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from avloc.clustering import nmi


@pytest.mark.parametrize(("n", "k"), [(2, 2), (5, 9), (8, 3), (1, 4)])
def test_equals_scikit_learn(n, k):
    rng = np.random.default_rng(n * 10 + k)
    labels = rng.integers(0, n, 200)
    clusters = np.where(rng.random(200) < 0.6, labels % k, rng.integers(0, k, 200))
    expected = normalized_mutual_info_score(labels, clusters)
    assert nmi(labels, clusters) == pytest.approx(expected, abs=1e-9)


def test_independent_and_equal_up_to_names():
    assert nmi(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(0, abs=1e-12)
    assert nmi(np.array([0, 0, 1, 2]), np.array([7, 7, 3, 0])) == pytest.approx(1)


def test_by_hand():
    # H(labels) = ln 2, clusters tell all and split one category: I = ln 2, H = 1.5 ln 2.
    labels, clusters = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    assert nmi(labels, clusters) == pytest.approx(2 / 2.5)


def test_masked_and_unknown_equal_subset():
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    clusters[:30] = labels[:30]
    mask = rng.random(60) < 0.7
    expected = nmi(labels[mask], clusters[mask])
    assert nmi(labels, clusters, mask) == expected
    assert nmi(np.where(mask, labels, -1), clusters) == expected
    assert nmi(labels, np.where(mask, clusters, -1)) == expected
    assert nmi(labels, clusters) != expected


def test_constant_or_missing():
    assert nmi(np.zeros(4, int), np.zeros(4, int)) == 1
    assert nmi(np.zeros(4, int), np.arange(4)) == 0
    assert nmi(np.full(4, -1), np.arange(4)) == 1
