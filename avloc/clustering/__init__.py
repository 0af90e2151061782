"""Clusters of object representations: k-means, dictionary, categories, agreement."""

from avloc.clustering.agreement import nmi
from avloc.clustering.assignment import (
    CategoryMap,
    cluster_counts,
    cluster_frequencies,
    majority,
    match,
    purity_report,
)
from avloc.clustering.dictionary import (
    dictionary,
    object_representations_mask,
    object_representations_weighted,
)
from avloc.clustering.kmeans import KMeans, assign, kmeans

__all__ = [
    "CategoryMap",
    "KMeans",
    "assign",
    "cluster_counts",
    "cluster_frequencies",
    "dictionary",
    "kmeans",
    "majority",
    "match",
    "nmi",
    "object_representations_mask",
    "object_representations_weighted",
    "purity_report",
]
