"""The threshold that is chosen without labels: scenes, truth and choice worked out by hand."""

import numpy as np
import pytest

from avloc.clustering.assignment import CategoryMap
from avloc.runs.thresholds import Sounding
from avloc.scoring.threshold import best, choose, scenes
from avloc.types import Prediction

TONES = (100, 1000, 3000, 5000)


def clip(kind, level=8000):
    """A picture of one grey, with a tone of its own."""
    time = np.arange(1600) / 16000
    return {
        "frames": np.full((3, 8, 8, 3), 60 * kind + 20, np.uint8),
        "waveform": np.int16(level * np.sin(2 * np.pi * TONES[kind] * time)),
    }


def heard(record):
    """Which tones are in a sound, by its spectrum."""
    spectrum = np.abs(np.fft.rfft(record["waveform"].astype(float)))
    return {kind for kind, tone in enumerate(TONES) if spectrum[tone // 10] > 0.1 * spectrum.max()}


def test_scenes_show_four_kinds_of_which_two_sound():
    kinds = np.array([0, 1, 2, 3, 3, -1])
    clips = [clip(kind) for kind in (0, 1, 2, 3, 3, 0)]
    records, truth = scenes(clips, kinds, 16, count=20)
    for record, own in zip(records, truth, strict=True):
        assert heard(record) == set(own) and len(set(own)) == 2
        corners = record["frames"][0][[0, 0, -1, -1], [0, -1, 0, -1], 0]
        assert sorted((corners - 20) // 60) == [0, 1, 2, 3]
    assert {frozenset(own) for own in truth.tolist()} == {
        frozenset((a, b)) for a in range(4) for b in range(a)
    }
    again, _ = scenes(clips, kinds, 16, count=20)
    np.testing.assert_array_equal(again[7]["waveform"], records[7]["waveform"])


def test_of_two_kinds_one_sounds():
    records, truth = scenes([clip(0), clip(2)], np.array([0, 2]), 16, count=6)
    assert truth.shape == (6, 1)
    assert all(heard(record) == set(own) for record, own in zip(records, truth, strict=True))


def test_the_best_threshold_is_in_the_middle_of_what_separates():
    scores = np.float32([[0.6, 0.2], [0.1, 0.8], [0.7, 0.6]])
    wanted = np.array([[True, False], [False, True], [True, True]])
    value, precision, recall = best(scores, wanted)
    assert (value, precision, recall) == (0.4, 1, 1)  # all from 0.21 to 0.60 are right
    # Where one wanted score lies under one that is not, naming both is better than neither.
    value, precision, recall = best(np.float32([[0.5, 0.3]]), np.array([[False, True]]))
    assert (value, precision, recall) == (0.15, 0.5, 1)


def predictor(kind_of, scores):
    def predict(records):
        count = len(records)
        of_each = np.array([[kind in heard(record) for kind in range(4)] for record in records])
        values = np.where(of_each, scores, 0.05).astype(np.float32)
        maps = np.zeros((count, 2, 2, 4), np.float32)
        cluster = np.array([kind_of[of.argmax()] for of in of_each])
        return Prediction(maps, values, values, maps[..., 0], cluster)

    return predict


def test_a_network_s_own_clusters_are_the_truth():
    clips = [clip(kind) for kind in range(4)] * 2 + [clip(0, level=0)]
    found = choose(clips, predictor([0, 1, 2, 3], 0.3), None, 16)
    assert isinstance(found, Sounding)
    assert (found.value, found.precision, found.recall, found.scenes) == (0.18, 1, 1, 100)
    assert "precision 1.00 and recall 1.00" in found.rule
    # By category: two clusters of each, the surer of which is its score.
    named = choose(clips, predictor([0, 1, 2, 3], 0.3), CategoryMap((0, 0, 1, 1), ("a", "b")), 16)
    assert (named.value, named.precision, named.recall) == (0.18, 1, 1)
    assert "of which 1 sounds" in named.rule


@pytest.mark.parametrize(
    ("kinds", "said"), [([2, 2, 2, 2], "all taken for one kind"), ([-1] * 4, "all taken for one")]
)
def test_what_cannot_be_told_apart_gives_no_threshold(kinds, said):
    assert said in choose([clip(k) for k in range(4)], predictor(kinds, 0.3), None, 16)


def test_spectrograms_cannot_be_mixed():
    silent = clip(0) | {"waveform": np.zeros(0, np.int16)}
    assert "cannot be mixed" in choose([silent] * 3, predictor([0] * 4, 0.3), None, 16)
