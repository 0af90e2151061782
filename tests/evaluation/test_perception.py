"""What is heard, against scikit-learn and against counts made by hand."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score

from avloc.evaluation.bootstrap import interval
from avloc.evaluation.items import Items
from avloc.evaluation.perception import (
    average_precision,
    heard_truth,
    mean_average_precision,
    perceive,
    recall_at_precision,
)

NAMES = ("cello", "flute", "tuba", "drum")
RESAMPLE = partial(interval, draws=40, seed=0)


def mixtures(scores, labels, levels=None, offscreen=None, sounding=None):
    """Items of which only what is heard matters; a label of -1 is an empty slot."""
    labels = np.asarray(labels)
    size = len(labels)
    sounding = labels >= 0 if sounding is None else np.asarray(sounding)
    offscreen = np.zeros(labels.shape, bool) if offscreen is None else np.asarray(offscreen)
    return Items(
        heard=np.asarray(scores, np.float32),
        scores=np.asarray(scores, np.float32),
        cluster=np.zeros(size, int),
        heard_cluster=np.zeros(size, int),
        index=np.arange(size),
        video=np.arange(size) // 2,
        boxes=np.zeros((*labels.shape, 4), np.float32),
        labels=labels,
        sounding=sounding & ~offscreen,
        offscreen=sounding & offscreen,
        level_db=np.zeros(labels.shape) if levels is None else np.asarray(levels, np.float32),
    )


def drawn(count=60, seed=0):
    """Scores with ties, that know something, of mixtures of two; the drum is never heard."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.permutation(3)[:2] for _ in range(count)])
    truth = (labels[..., None] == np.arange(4)).any(1)
    scores = np.round(np.clip(0.35 * truth + rng.random((count, 4)) * 0.6, 0, 1), 1)
    return scores, labels, truth


def test_as_scikit_learn_counts():
    scores, labels, truth = drawn()
    found, _ = perceive(mixtures(scores, labels), NAMES, RESAMPLE)
    # Thresholds meet in float32, in which scores come.
    said = np.float32(scores) >= 0.5
    per_category = [
        average_precision_score(truth[:, n], np.float32(scores)[:, n]) for n in (0, 1, 2)
    ]
    assert found["mAP"]["value"] == pytest.approx(np.mean(per_category))
    for average in ("micro", "macro"):
        # The drum is in the pairs of the micro average, and no category of the macro one.
        there = slice(None) if average == "micro" else slice(3)
        pairs = truth[:, there], said[:, there]
        name = "" if average == "micro" else "macro "
        kwargs = dict(average=average, zero_division=0)
        assert found[f"{name}precision"]["value"] == pytest.approx(
            precision_score(*pairs, **kwargs)
        )
        assert found[f"{name}recall"]["value"] == pytest.approx(recall_score(*pairs, **kwargs))
    assert all(row["low"] <= row["value"] <= row["high"] for row in found.values())
    assert "quiet recall" not in found  # levels are not known


def test_a_weight_is_a_repetition():
    scores, _, truth = drawn(20)
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, (3, 20)).astype(float)
    for n in range(3):
        expected = [
            average_precision_score(np.repeat(truth[:, n], times), np.repeat(scores[:, n], times))
            for times in weights.astype(int)
        ]
        got = average_precision(scores[:, n], truth[:, n], weights)
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert np.isnan(average_precision(scores[:, 3], truth[:, 3], weights)).all()
    # The category that a draw leaves without positives is left out of that draw's mean.
    only_first = np.zeros((1, 20))
    only_first[0, truth[:, 0] & ~truth[:, 1]] = 1
    kept = only_first[0] > 0
    expected = np.mean([average_precision_score(truth[kept, n], scores[kept, n]) for n in (0, 2)])
    assert mean_average_precision(scores, truth, only_first)[0] == pytest.approx(expected)


def test_truth_and_levels():
    labels = [[0, 1, -1], [0, 1, 2], [0, 0, 1], [0, 1, -1], [0, -1, -1], [2, 0, -1]]
    levels = [
        [-20, -29, 0],
        [-20, -26, -np.inf],
        [-20, -20, -26],
        [-20, 0, 0],
        [-9, 0, 0],
        [-9, -20, 0],
    ]
    sounding = [[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 0]]
    offscreen = np.zeros((6, 3), bool)
    offscreen[0, 1] = True
    items = mixtures(np.zeros((6, 4)), labels, levels, offscreen, np.array(sounding, bool))
    truth, below = heard_truth(items, 4)
    np.testing.assert_array_equal(
        truth,
        # The fifth has a sound of unknown category.
        [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [1, 0, 1, 0]],
    )
    nan = np.nan
    # Two cellos are 3 dB louder than one; of the fourth, one level is not known.
    expected = [[0, 9], [0, 6], [0, 6 + 10 * np.log10(2)], [nan, nan], [nan, nan], [11, nan]]
    np.testing.assert_allclose(below[:, :2], expected, atol=1e-9)
    np.testing.assert_allclose(below[5, 2], 0)


def test_quiet_sources_by_hand():
    """Quiet ones at 0.9, 0.6 and 0.2; one more lies only 3 dB under, one 15."""
    labels = [[0, 1], [1, 2], [2, 0], [0, 3], [1, 3]]
    levels = [[-20, -26], [-20, -32], [-20, -29], [-20, -23], [-20, -35]]
    scores = np.zeros((5, 4))
    scores[0, [0, 1, 2]] = 0.95, 0.9, 0.3
    scores[1, [1, 2, 0]] = 0.85, 0.6, 0.7
    scores[2, [2, 0, 1]] = 0.8, 0.2, 0.1
    scores[3, [0, 3, 1]] = 0.75, 0.05, 0.65
    scores[4, [1, 3]] = 0.72, 0.04
    found, told = perceive(mixtures(scores, labels, levels), NAMES, RESAMPLE)
    assert found["quiet recall"]["value"] == pytest.approx(2 / 3)
    # Down to 0.72 six hits, at 0.7 and 0.65 two misses, at 0.6 a hit: 7 of 9, less than 0.8.
    assert found["quiet recall at precision 0.8"]["value"] == pytest.approx(1 / 3)
    assert found["precision"]["value"] == pytest.approx(7 / 9)
    assert found["recall"]["value"] == pytest.approx(7 / 10)
    assert told[0] == "cello sounds at 0.0 dB 0.9500; flute sounds at -6.0 dB 0.9000"
    assert told[1].startswith("cello silent 0.7000; ")
    # Without the miss at 0.65 it is 7 of 8; down to 0.2, with two more misses, 8 of 11, and with
    # one more, 8 of 10, which is just enough.
    scores[3, 1] = 0
    for misheard, expected in ((0.25, 2 / 3), (0.1, 1)):
        scores[2, 1] = misheard
        found, _ = perceive(mixtures(scores, labels, levels), NAMES, RESAMPLE)
        assert found["quiet recall at precision 0.8"]["value"] == pytest.approx(expected)


def test_recall_at_precision_looks_at_every_threshold():
    """Against a loop, weights as repetitions, ties included; precision may rise again."""
    rng = np.random.default_rng(2)
    scores = np.sort(np.round(rng.random(40), 1))[::-1]
    positive = rng.random(40) < 0.7
    positive[0] = False
    wanted = positive & (rng.random(40) < 0.5)
    weights = rng.integers(0, 3, (4, 40)).astype(float)
    expected = []
    for w in weights:
        best = 0.0
        for threshold in np.unique(scores):
            cut = w * (scores >= threshold)
            if cut.sum() and (cut * positive).sum() / cut.sum() >= 0.75:
                best = max(best, (cut * wanted).sum() / (w * wanted).sum())
        expected.append(best)
    assert {0, 1} < set(expected)  # none, all and some of them
    got = recall_at_precision(scores, positive, wanted, weights, 0.75)
    np.testing.assert_allclose(got, expected)
    never = recall_at_precision(scores, np.zeros(40, bool), wanted, weights, 0.75)
    assert (never == 0).all()


def test_categories_of_one_video_do_not_move_the_interval():
    """Each category sounds in one video alone: without it, the mean is over the seven others."""
    labels = np.arange(8)[:, None]
    items = mixtures(np.full((8, 8), 0.5), labels)._replace(video=np.arange(8))
    found, _ = perceive(items, tuple("abcdefgh"), partial(interval, draws=400, seed=0))
    for name in ("macro precision", "mAP"):
        row = found[name]
        assert row["value"] == pytest.approx(1 / 8)
        assert 0 <= row["low"] < row["value"] < row["high"] < 0.6
    # All eight are found: Wilson's end for eight of eight, at the t quantile of seven.
    assert found["macro recall"] == {"value": 1, "low": pytest.approx(0.589, abs=1e-3), "high": 1}


def test_all_heard_most_by_hand():
    """n is the number that sound, off screen too; a tie with a silent one is a miss."""
    labels = [[0, 1, -1], [0, 1, -1], [0, 1, -1], [2, -1, -1], [0, 1, 2], [0, 0, 3]]
    offscreen = np.zeros((6, 3), bool)
    offscreen[[0, 4], 1] = True
    scores = [
        [0.2, 0.3, 0.1, 0.0],  # right, though low; the flute is off screen
        [0.9, 0.4, 0.4, 0.0],  # a tie for the second place
        [0.4, 0.4, 0.3, 0.3],  # ties among those that sound, and among others, do not matter
        [0.8, 0.9, 0.7, 0.0],  # neither the first nor the second
        [0.5, 0.6, 0.1, 0.2],  # the drum is heard more than the tuba
        [0.9, 0.1, 0.2, 0.3],  # two cellos are one category
    ]
    items = mixtures(scores, labels, offscreen=offscreen)._replace(video=np.arange(6))
    row = perceive(items, NAMES, RESAMPLE)[0]["all heard most"]
    assert row["value"] == pytest.approx(3 / 6)
    assert row["low"] < row["value"] < row["high"]
    # A sound from off screen alone counts; one of unknown category leaves its item out.
    outside = np.array([[True, False], [False, False]])
    alone = mixtures([[0.1, 0.2, 0, 0]] * 2, [[1, -1], [0, -1]], offscreen=outside)
    assert perceive(alone, NAMES, RESAMPLE)[0]["all heard most"]["value"] == 1 / 2
    unknown = alone._replace(sounding=np.array([[False, True], [True, False]]))
    assert perceive(unknown, NAMES, RESAMPLE)[0]["all heard most"]["value"] == 0


def test_all_heard_most_says_nothing_where_every_category_sounds():
    labels = [[0, 1], [0, 1], [0, -1], [1, -1]]
    scores = [[0.9, 0.1], [0.1, 0.9], [0.2, 0.1], [0.2, 0.1]]
    two = NAMES[:2]
    every = mixtures(scores[:2], labels[:2])
    assert "all heard most" not in perceive(every, two, RESAMPLE)[0]
    # They do not count as right beside others either.
    found, _ = perceive(mixtures(scores, labels), two, RESAMPLE)
    assert found["all heard most"]["value"] == 1 / 2


def test_nothing_to_hear():
    labels = [[0, 1], [1, 2]]
    assert perceive(mixtures(np.zeros((2, 0)), labels), NAMES, RESAMPLE) == ({}, ["", ""])
    none = mixtures(np.zeros((2, 4)), [[-1, -1]] * 2)
    assert perceive(none, NAMES, RESAMPLE)[0] == {}
    silent, _ = perceive(mixtures(np.zeros((2, 4)), labels), NAMES, RESAMPLE)
    assert "precision" not in silent and silent["recall"]["value"] == 0
    assert silent["macro precision"]["value"] == 0
