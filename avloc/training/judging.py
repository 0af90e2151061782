"""The verdict in the middle of training, on the validation split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array, Bool, Int

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
    """

    def __init__(self, method: Method, dataset: Dataset, split: str):
        self._method, self._dataset = method, dataset
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
        found = verdict.of_clips(known, cluster, video, 1 + int(np.max(cluster)), names)
        return [] if found is None else found.sentences()

    def _cluster_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Int[Array, " B"], Int[Array, " B"], Int[Array, "B M"], Bool[Array, "B M"]]:
        found = self._method.predict(variables, aux, batch)
        return found.cluster, batch.video, batch.labels, batch.sounding
