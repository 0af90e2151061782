"""Assigns a category to each cluster; for evaluation and display only, never for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.optimize import linear_sum_assignment


def cluster_counts(
    labels: Int[np.ndarray, " S"], clusters: Int[np.ndarray, " S"], n: int, k: int
) -> Int[np.ndarray, "N K"]:
    """How many samples of each category fall in each cluster; a -1 on either side is left out.

    Raises:
      ValueError: a label not in -1..n-1, or a cluster not in -1..k-1.
    """
    labels, clusters = np.asarray(labels), np.asarray(clusters)
    if labels.shape != clusters.shape or labels.ndim != 1:
        raise ValueError(
            f"each sample needs one label and one cluster, not {labels.shape}, {clusters.shape}"
        )
    for what, values, limit in (("labels", labels, n), ("clusters", clusters, k)):
        if values.size and not (values.min() >= -1 and values.max() < limit):
            raise ValueError(
                f"{what} must lie in -1..{limit - 1}, not {values.min()}..{values.max()}"
            )
    known = (labels >= 0) & (clusters >= 0)
    counts = np.zeros((n, k), np.int64)
    np.add.at(counts, (labels[known], clusters[known]), 1)
    return counts


def cluster_frequencies(
    labels: Int[np.ndarray, " S"], clusters: Int[np.ndarray, " S"], n: int, k: int
) -> Float[np.ndarray, "N K"]:
    """P[n, k], the fraction of category n's samples in cluster k; 0 for a category without any.

    Samples with label or cluster -1 are left out.
    """
    counts = cluster_counts(labels, clusters, n, k)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def match(frequencies: Float[np.ndarray, "N K"]) -> Int[np.ndarray, " K"]:
    """Category of each cluster: every category has a cluster, and the sum of P is largest.

    The exact optimum of what DSOL and CSOL search at random. With `r[k] = max_n P[n, k]`, one
    cluster for each category is chosen by linear sum assignment to maximise
    `sum(P[n, k] - r[k])`; every other cluster takes its best category.

    Raises:
      ValueError: fewer clusters than categories.
    """
    frequencies = np.asarray(frequencies)
    n, k = frequencies.shape
    if k < n:
        raise ValueError(
            f"{k} clusters cannot cover {n} categories: set the number of clusters to {n} or more"
        )
    categories = frequencies.argmax(axis=0)
    rows, columns = linear_sum_assignment(frequencies - frequencies.max(axis=0), maximize=True)
    categories[columns] = rows
    return categories


def majority(counts: Int[np.ndarray, "N K"]) -> Int[np.ndarray, " K"]:
    """The most common category in each cluster (IEr, supplement); some may get no cluster."""
    return np.asarray(counts).argmax(axis=0)


@dataclass(frozen=True)
class CategoryMap:
    """The category of each cluster.

    Attributes:
      of_cluster: index in `names` for each of the K clusters.
      names: of the N categories.
    """

    of_cluster: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not all(0 <= category < len(self.names) for category in self.of_cluster):
            raise ValueError(
                f"of_cluster must lie in 0..{len(self.names) - 1}, not {self.of_cluster}"
            )

    @classmethod
    def unnamed(cls, k: int) -> CategoryMap:
        """Each of k clusters as a category of its own: object 1, object 2, ..."""
        return cls(tuple(range(k)), tuple(f"object {i + 1}" for i in range(k)))

    def merge(
        self, maps: Float[Array, "*shape K"] | Float[np.ndarray, "*shape K"]
    ) -> Float[Array, "*shape N"] | Float[np.ndarray, "*shape N"]:
        """Maps of categories: the sum over each category's clusters. NumPy in, NumPy out."""
        if maps.shape[-1] != len(self.of_cluster):
            raise ValueError(
                f"maps have {maps.shape[-1]} clusters, but {len(self.of_cluster)} were matched"
            )
        member = np.eye(len(self.names), dtype=maps.dtype)[list(self.of_cluster)]
        if isinstance(maps, np.ndarray):
            return maps @ member
        return jnp.matmul(maps, member, precision=jax.lax.Precision.HIGHEST)

    def strongest(
        self, scores: Float[Array, "*shape K"] | Float[np.ndarray, "*shape K"]
    ) -> Float[Array, "*shape N"] | Float[np.ndarray, "*shape N"]:
        """Presence of categories: that of each one's surest cluster, 0 without one.

        Not the sum, which grows with the number of clusters, as does `1 - prod(1 - p)`: clusters of
        one category are not independent, as one sound excites several. NumPy in, NumPy out.
        """
        if scores.shape[-1] != len(self.of_cluster):
            raise ValueError(
                f"scores have {scores.shape[-1]} clusters, but {len(self.of_cluster)} were matched"
            )
        xp = np if isinstance(scores, np.ndarray) else jnp
        member = np.eye(len(self.names), dtype=bool)[list(self.of_cluster)]
        return xp.where(member, scores[..., None], 0).max(-2)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"of_cluster": list(self.of_cluster), "names": list(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CategoryMap:
        """The inverse of `to_json`."""
        return cls(tuple(int(i) for i in data["of_cluster"]), tuple(data["names"]))


def purity_report(
    counts: Int[np.ndarray, "N K"], category_map: CategoryMap
) -> list[dict[str, Any]]:
    """One row per cluster, then one for all: `cluster`, `category`, `size`, `purity`.

    Purity is the share of the samples that belong to the category that the cluster was matched
    to; 0 for an empty cluster. The last row has cluster "all".
    """
    counts = np.asarray(counts)
    sizes = counts.sum(axis=0)
    right = counts[list(category_map.of_cluster), np.arange(counts.shape[1])]
    rows: list[dict[str, Any]] = [
        {
            "cluster": cluster,
            "category": category_map.names[category],
            "size": int(sizes[cluster]),
            "purity": float(right[cluster] / max(sizes[cluster], 1)),
        }
        for cluster, category in enumerate(category_map.of_cluster)
    ]
    total = int(sizes.sum())
    overall = float(right.sum() / max(total, 1))
    return [*rows, {"cluster": "all", "category": "", "size": total, "purity": overall}]
