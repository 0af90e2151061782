"""How well clusters agree with categories."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from avloc.clustering.assignment import cluster_counts


def nmi(
    labels: Int[np.ndarray, " S"],
    clusters: Int[np.ndarray, " S"],
    mask: Bool[np.ndarray, " S"] | None = None,
) -> float:
    """Normalised mutual information `2 I(labels; clusters) / (H(labels) + H(clusters))`, 0 to 1.

    Args:
      labels: category of each sample, from 0; samples with -1 are left out.
      clusters: cluster of each sample, from 0; samples with -1 are left out.
      mask: False where a sample is left out.

    Returns:
      1 where both sides are constant, or no sample is left.
    """
    labels, clusters = np.asarray(labels), np.asarray(clusters)
    if mask is not None:
        labels, clusters = labels[np.asarray(mask)], clusters[np.asarray(mask)]
    counts = cluster_counts(
        labels, clusters, labels.max(initial=-1) + 1, clusters.max(initial=-1) + 1
    )
    joint = counts / max(counts.sum(), 1)
    entropies = _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))
    if entropies == 0:
        return 1.0
    # Rounding may leave a value slightly outside.
    return float(np.clip(2 * (entropies - _entropy(joint)) / entropies, 0, 1))


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
