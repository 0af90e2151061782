"""How well clusters agree with categories."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import entr

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
    return float(nmi_of_table(counts, 1.0))


def nmi_of_table(joint: Float[np.ndarray, "*draws N K"], constant: float) -> np.ndarray:
    """The same of counts, or weights, of labels and clusters; `constant` where both sides are."""
    flat = joint.reshape(*joint.shape[:-2], joint.shape[-2] * joint.shape[-1])
    return nmi_of(flat, joint.sum(-1), joint.sum(-2), constant)


def nmi_of(
    joint: np.ndarray, label: np.ndarray, cluster: np.ndarray, constant: float
) -> np.ndarray:
    """The same of weights of pairs, of labels and of clusters, along the last axis."""
    sizes = np.maximum(joint.sum(-1, keepdims=True), 1e-12)
    both, *sides = (entr(x / sizes).sum(-1) for x in (joint, label, cluster))
    total = sum(sides)
    # Rounding may leave a value slightly outside.
    shared = 2 * (total - both) / np.where(total > 0, total, 1)
    return np.where(total > 1e-12, np.clip(shared, 0, 1), constant)
