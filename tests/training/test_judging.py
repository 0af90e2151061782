"""What is said of a stage in the middle of a run."""

from types import SimpleNamespace

import numpy as np
import pytest

from avloc.training.judging import Judge
from avloc.types import DatasetInfo, TrainState

KINDS = 24
NAMES = tuple(f"kind {n}" for n in range(KINDS))
TRAINED = np.repeat(np.arange(KINDS), 3)
INFO = DatasetInfo({"train": len(TRAINED), "validation": KINDS * 2}, class_names=NAMES)


def said(aux, cluster, trained=TRAINED):
    """Of validation with one video of two clips of each kind."""
    dataset = SimpleNamespace(info=INFO, labels={"train": trained}.__getitem__)
    kinds = np.repeat(np.arange(KINDS), 2)
    found = cluster[kinds], kinds, kinds[:, None], np.ones((2 * KINDS, 1), bool)
    judge = Judge(method=None, dataset=dataset, split="validation", trained="train")
    return " ".join(judge.sentences(TrainState({}, {}, aux, 0), lambda *_: found))


def test_kinds_with_one_video_each_are_judged_by_what_clusters_stand_for_in_training():
    swapped = (np.arange(KINDS) + 5) % KINDS  # cluster of each kind
    aux = {"labels": swapped[TRAINED], "centroids": np.zeros((KINDS, 4))}
    sentences = said(aux, swapped)
    assert sentences.startswith("It tells 24 of 24 kinds apart, on 24 videos that it never trained")
    assert "better than chance" in sentences and "What to do" not in sentences
    # What is wrong is not called right.
    assert said(aux, np.arange(KINDS)).startswith("It tells 0 of 24 kinds apart")


@pytest.mark.parametrize(
    "aux",
    [
        {},
        {"labels": np.zeros(len(TRAINED)), "centroids": np.zeros((KINDS, 4))},
        {"labels": np.ones(3), "centroids": np.zeros((KINDS, 4))},
    ],
)
def test_where_training_clips_have_no_clusters_videos_name_each_other(aux):
    assert "too few videos to say" in said(aux, np.arange(KINDS))
