"""The verdict on a run, from its row on single clips and the videos that it was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from avloc.clustering.assignment import CategoryMap
from avloc.evaluation import verdict
from avloc.evaluation.items import clip_label
from avloc.evaluation.results import Evaluation
from avloc.evaluation.verdict import Verdict
from avloc.types import Batch


class VideosOfClasses:
    """Counts the videos of each class in batches that pass by."""

    def __init__(self) -> None:
        self._videos: dict[int, set[int]] = defaultdict(set)

    def noting(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches."""
        for batch in batches:
            labels = clip_label(np.asarray(batch.labels), np.asarray(batch.sounding))
            for label, video, real in zip(labels, batch.video, batch.mask, strict=True):
                if real and label >= 0:
                    self._videos[int(label)].add(int(video))
            yield batch

    def count(self, label: int) -> int:
        """Videos of a class so far."""
        return len(self._videos[label])


def verdict_on(
    found: Evaluation, categories: CategoryMap | None, trained_on: VideosOfClasses
) -> Verdict | None:
    """The verdict on a network; None if its clips have neither classes nor clusters.

    Args:
      found: its evaluation on single clips that it was not trained on.
      categories: class of each cluster, from training clips; None: classes are not known, and
        what is seen is compared with what is heard.
      trained_on: its training videos.
    """
    columns = ("label" if categories else "heard_cluster", "cluster", "video")
    labels, clusters, videos = (np.array([row[name] for row in found.items]) for name in columns)
    if categories is None:
        return verdict.of_clips(labels, clusters, videos, 1 + max(labels.max(), clusters.max()))
    return verdict.of_clips(
        labels,
        clusters,
        videos,
        len(categories.of_cluster),
        categories.names,
        of_cluster=categories.of_cluster,
        train_videos={name: trained_on.count(place) for place, name in enumerate(categories.names)},
    )
