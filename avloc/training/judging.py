"""The verdict in the middle of training, on the validation split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array, Bool, Int

from avloc.clustering.assignment import cluster_frequencies, match
from avloc.data_pipelines.dataset import Dataset
from avloc.evaluation import verdict
from avloc.evaluation.items import clip_label
from avloc.types import Aux, Batch, Method, Scan, TrainState, Variables


class Judge:
    """Says how many kinds a method tells apart so far.

    Args:
      method: the run's.
      dataset: what it trains on.
      split: its clips for validation; empty or absent: nothing is said.
      trained: its clips of single sources that are trained on.
    """

    def __init__(self, method: Method, dataset: Dataset, split: str, trained: str):
        self._method, self._dataset, self._trained = method, dataset, trained
        self._split = split if dataset.info.num_examples.get(split) else ""

    def sentences(self, state: TrainState, scan: Scan) -> list[str]:
        """The verdict on a state; empty where there is nothing to judge by.

        Labels are read to be told, never to choose anything.
        """
        names = self._dataset.info.class_names
        if not self._split or not names:
            return []
        cluster, video, labels, sounding = scan(self._cluster_step, state, self._split)
        known = clip_label(labels, sounding)
        of_cluster = self._of_cluster(state.aux)
        k = 1 + int(np.max(cluster)) if of_cluster is None else len(of_cluster)
        found = verdict.of_clips(known, cluster, video, k, names, of_cluster=of_cluster)
        return [] if found is None else found.sentences()

    def _of_cluster(self, aux: Aux) -> tuple[int, ...] | None:
        """The class of each cluster, by the training clips in it; None where these are not known.

        So a kind with a single video for validation can be judged too.
        """
        assigned = np.asarray(aux.get("labels", ()))
        centroids = aux.get("centroids")
        if centroids is None or not assigned.any():
            return None
        labels = self._dataset.labels(self._trained)
        k, n = len(centroids), len(self._dataset.info.class_names)
        if labels.shape != assigned.shape or k < n:
            return None
        return tuple(map(int, match(cluster_frequencies(labels, assigned, n, k))))

    def _cluster_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Int[Array, " B"], Int[Array, " B"], Int[Array, "B M"], Bool[Array, "B M"]]:
        found = self._method.predict(variables, aux, batch)
        return found.cluster, batch.video, batch.labels, batch.sounding
