"""k-means against scikit-learn's, from the same centres and with as many iterations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Array, Float
from sklearn.cluster import KMeans as Reference
from sklearn.exceptions import ConvergenceWarning

from avloc.clustering import kmeans
from avloc.clustering.kmeans import _chunk, _kmeans
from benchmarks.row import Equality, Row, in_turn


def representations(rows: int, columns: int, seed: int = 0) -> Float[np.ndarray, "N C"]:
    """Unit vectors in overlapping clouds, like object representations."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(50, columns)).astype(np.float32)
    x = centres[rng.integers(0, len(centres), rows)]
    x += 2 * rng.standard_normal(size=x.shape, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def compare(
    x: Float[np.ndarray, "N C"], k: int, iterations: int, rounds: int
) -> tuple[dict[str, tuple[float, ...]], Equality]:
    """Seconds of `ours` and `theirs`, and the difference of their inertias."""
    init = x[:k].copy()
    inertias: dict[str, float | Float[Array, ""]] = {}

    def ours() -> None:
        found = kmeans(x, k, jax.random.key(0), init=init, iterations=iterations, tolerance=0)
        inertias["ours"] = jax.block_until_ready(found).inertia

    def theirs() -> None:
        model = Reference(k, init=init, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            inertias["theirs"] = model.fit(x).inertia_

    times = in_turn({"ours": ours, "theirs": theirs}, rounds=rounds)
    relative = abs(float(inertias["ours"]) / float(inertias["theirs"]) - 1)
    return times, Equality("relative difference of the inertia", relative, 1e-4)


def working_memory(rows: int, columns: int, k: int) -> int:
    """Bytes that the compiled program needs besides its arguments and results."""
    x = jax.ShapeDtypeStruct((rows, columns), np.float32)
    mask = jax.ShapeDtypeStruct((rows,), bool)
    init = jax.ShapeDtypeStruct((k, columns), np.float32)
    lowered = _kmeans.lower(x, mask, jax.random.key(0), init, 0.0, 1, k, 1, min(_chunk(k), rows))
    return lowered.compile().memory_analysis().temp_size_in_bytes


def rows(quick: bool) -> Iterator[Row]:
    """50,000 x 512, K = 100 and 5,000."""
    count, columns = (500, 8) if quick else (50_000, 512)
    x = representations(count, columns)
    for k, iterations, rounds in ((100, 10, 5), (5_000, 2, 3)):
        k = min(k, count // 5)
        times, equality = compare(x, k, iterations, rounds)
        held = working_memory(count, columns, k)
        yield Row(
            f"k-means {count:,} x {columns}, K = {k:,}",
            "scikit-learn KMeans",
            times["ours"],
            times["theirs"],
            target=1,
            equality=equality,
            note=f"{iterations} iterations; {held / 2**20:,.0f} MiB besides the rows, of which "
            f"{2 * x.nbytes / 2**20:,.0f} are two copies of them; all distances would be "
            f"{4 * count * k / 2**20:,.0f}",
        )
