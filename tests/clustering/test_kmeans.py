import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans as ReferenceKMeans

from avloc.clustering import assign, kmeans
from avloc.clustering.kmeans import _multiplied, _scattered


@pytest.fixture(autouse=True)
def strict_promotion():
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds far from the origin, and the cloud of each row."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 2, (5, 8)) + 10
    truth = rng.integers(0, 5, 203)
    return (centres[truth] + rng.normal(0, 1, (203, 8))).astype(np.float32), truth


def inertia_of(x, centroids):
    return ((x[:, None] - np.asarray(centroids)[None]) ** 2).sum(-1).min(1).sum()


@pytest.mark.parametrize("chunk", [17, 4096])
def test_same_start_same_end_as_scikit_learn(blobs, chunk):
    x, _ = blobs
    init = x[[0, 40, 80, 120, 160]]
    expected = ReferenceKMeans(5, init=init, n_init=1, tol=0, max_iter=300).fit(x)
    actual = kmeans(x, 5, jax.random.key(0), init=init, tolerance=0.0, iterations=300, chunk=chunk)
    np.testing.assert_allclose(actual.centroids, expected.cluster_centers_, rtol=1e-4)
    np.testing.assert_array_equal(actual.labels, expected.labels_)
    np.testing.assert_allclose(actual.inertia, expected.inertia_, rtol=1e-4)


def test_one_iteration_by_hand():
    x = np.array([[0.0], [1.0], [4.0], [6.0]], np.float32)
    init = np.array([[0.0], [2.0]], np.float32)
    # Nearest: 0, then 0 (1 is as far from both: the first), 1, 1. Means 0.5 and 5.
    result = kmeans(x, 2, jax.random.key(0), init=init, iterations=1)
    np.testing.assert_allclose(result.centroids, [[0.5], [5.0]])
    np.testing.assert_array_equal(result.labels, [0, 0, 1, 1])
    np.testing.assert_allclose(result.inertia, 0.25 + 0.25 + 1 + 1)


def test_sums_on_cpu_and_elsewhere_by_hand():
    """The third row is padding; cluster 1 has none."""
    labels, mask = np.int32([0, 2, 2, 0]), np.array([True, True, False, True])
    rows = np.float32([[1, 2], [3, 4], [50, 60], [7, 8]])
    for add_up in (_scattered, _multiplied):
        sums, counts = add_up(labels, rows, mask, 3)
        np.testing.assert_array_equal(sums, [[8, 10], [0, 0], [3, 4]])
        np.testing.assert_array_equal(counts, [2, 0, 1])


def test_labels_and_inertia_belong_to_the_centroids(blobs):
    x, _ = blobs
    result = kmeans(x, 9, jax.random.key(1), iterations=2)
    distances = ((x[:, None] - np.asarray(result.centroids)[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(result.labels, distances.argmin(1))
    np.testing.assert_allclose(result.inertia, distances.min(1).sum(), rtol=1e-4)
    np.testing.assert_array_equal(assign(x, result.centroids), result.labels)
    np.testing.assert_array_equal(assign(x, result.centroids, chunk=10), result.labels)


def test_as_good_as_scikit_learn_from_its_own_seeds():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = ReferenceKMeans(12, n_init=5, random_state=0).fit(x).inertia_
    actual = kmeans(x, 12, jax.random.key(0), restarts=5).inertia
    assert actual < 1.02 * expected


def test_restarts_keep_the_best(blobs):
    x, _ = blobs
    many = kmeans(x, 9, jax.random.key(5), restarts=6)
    alone = [float(kmeans(x, 9, jax.random.key(seed)).inertia) for seed in range(8)]
    assert max(alone) > 1.01 * min(alone)
    assert float(many.inertia) < np.median(alone)
    np.testing.assert_allclose(many.inertia, inertia_of(x, many.centroids), rtol=1e-4)


def test_seeds_of_clear_clouds_fall_one_in_each():
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(6), 20)
    x = (np.eye(6)[truth] * 50 + rng.normal(0, 0.1, (120, 6))).astype(np.float32)
    for seed in range(5):
        seeds = kmeans(x, 6, jax.random.key(seed), iterations=0).centroids
        assert sorted(np.asarray(seeds).argmax(1)) == list(range(6))


def test_key_fixes_the_result(blobs):
    x, _ = blobs
    first, again = (kmeans(x, 9, jax.random.key(3)) for _ in range(2))
    np.testing.assert_array_equal(first.centroids, again.centroids)


def test_masked_equals_subset(blobs):
    x, _ = blobs
    mask = np.arange(len(x)) % 3 != 0
    padded = np.where(mask[:, None], x, np.nan).astype(np.float32)
    init = x[mask][:5]
    expected = kmeans(x[mask], 5, jax.random.key(0), init=init)
    actual = kmeans(padded, 5, jax.random.key(0), init=init, mask=jnp.asarray(mask), chunk=16)
    np.testing.assert_allclose(actual.centroids, expected.centroids, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(actual.labels)[mask], expected.labels)
    np.testing.assert_array_equal(np.asarray(actual.labels)[~mask], -1)
    np.testing.assert_allclose(actual.inertia, expected.inertia, rtol=1e-5)


def test_masked_rows_are_never_seeds():
    x = np.concatenate([np.full((50, 2), 1e3), np.eye(2)]).astype(np.float32)
    mask = jnp.arange(52) >= 50
    for seed in range(5):
        result = kmeans(x, 2, jax.random.key(seed), mask=mask)
        np.testing.assert_allclose(np.sort(np.asarray(result.centroids)[:, 0]), [0, 1], atol=1e-6)


def test_empty_clusters_are_seeded_again():
    x = np.array([[0, 0], [0, 1], [1, 0], [20, 0], [20, 1], [0, 20]], np.float32)
    init = np.array([[0, 0], [900, 900], [-900, 900]], np.float32)
    result = kmeans(x, 3, jax.random.key(0), init=init)
    labels = np.asarray(result.labels)
    assert set(labels) == {0, 1, 2}
    assert len(set(labels[:3])) == len(set(labels[3:5])) == 1
    np.testing.assert_allclose(result.inertia, 4 / 3 + 0.5, rtol=1e-4)


def test_fewer_different_rows_than_clusters():
    x = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    result = kmeans(x, 4, jax.random.key(0))
    assert np.isfinite(np.asarray(result.centroids)).all()
    np.testing.assert_allclose(result.inertia, 0, atol=1e-6)
    assert len(set(np.asarray(result.labels)[:3])) == 1


def test_as_many_clusters_as_rows():
    x = np.arange(6, dtype=np.float32)[:, None] ** 2
    result = kmeans(x, 6, jax.random.key(0))
    np.testing.assert_allclose(result.inertia, 0, atol=1e-4)
    assert len(set(np.asarray(result.labels))) == 6


@pytest.mark.parametrize(
    ("k", "kwargs", "words"),
    [
        (0, {}, "at least one cluster"),
        (5, {}, "k = 5 clusters of 4 samples"),
        (4, {"mask": np.array([True, True, True, False])}, "k = 4 clusters of 3 samples"),
        (2, {"init": np.zeros((3, 2))}, "init"),
        (2, {"init": np.zeros((2, 2)), "restarts": 2}, "restarts"),
        (2, {"restarts": 0}, "restarts"),
    ],
)
def test_bad_settings_are_named(k, kwargs, words):
    with pytest.raises(ValueError, match=words):
        kmeans(np.ones((4, 2), np.float32), k, jax.random.key(0), **kwargs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    x = np.ones((4, 2), np.float32)
    x[2, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        kmeans(x, 2, jax.random.key(0))


SHARDED = """
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from avloc.clustering import assign, kmeans

assert len(jax.devices()) == 4
rng = np.random.default_rng(0)
x = rng.normal(size=(208, 8)).astype(np.float32)
mask = np.arange(208) < 203
rows = NamedSharding(Mesh(jax.devices(), "data"), PartitionSpec("data"))
sharded, sharded_mask = jax.device_put(x, rows), jax.device_put(mask, rows)
one = kmeans(x, 5, jax.random.key(0), mask=mask, restarts=2, chunk=32)
many = kmeans(sharded, 5, jax.random.key(0), mask=sharded_mask, restarts=2, chunk=32)
np.testing.assert_allclose(many.centroids, one.centroids, atol=1e-4)
np.testing.assert_array_equal(many.labels, one.labels)
np.testing.assert_array_equal(assign(sharded, many.centroids)[:203], one.labels[:203])
print("equal")
"""


def test_rows_sharded_over_four_devices():
    done = subprocess.run(
        [sys.executable, "-c", SHARDED],
        env=os.environ
        | {
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "equal", done.stderr
