"""The verdict, on confusion matrices made by hand."""

import json

import numpy as np
import pytest

from avloc.evaluation.verdict import Verdict, by_video, judge, of_clips

NAMES = ("cat", "dog", "owl", "pig")


def test_all_told_apart():
    made = judge(np.diag([4, 4, 4, 4]), NAMES, of_cluster=(0, 1, 2, 3))
    assert (made.kinds, made.missed, made.videos, made.agreement) == (4, (), 16, 1.0)
    assert made.above_chance and made.chance <= 0.5
    assert made.sentences() == [
        "It tells 4 of 4 kinds apart, on 16 videos that it never trained on.",
        "That is better than chance.",
    ]


def test_one_class_is_told_from_nothing():
    made = judge(np.array([[3, 1]]), NAMES[:1], of_cluster=(0, 0))
    assert made.sentences() == [
        "The test videos show one class, with nothing to tell it from: add other kinds."
    ]


def test_a_single_video_is_no_plural():
    told = judge(np.array([[1, 0], [0, 0]]), ()).sentences()[0]
    assert told.endswith(", on 1 video that it never trained on.")


def test_two_classes_confused():
    counts = [[4, 0, 0, 0], [0, 1, 3, 0], [0, 0, 4, 0], [0, 0, 0, 4]]
    made = judge(np.array(counts), NAMES, of_cluster=(0, 1, 2, 3), train_videos={"dog": 5})
    assert made.missed == ("dog",)  # owl: 4 of the 7 that are taken for it are it
    assert made.confused == (("dog", "owl", 3, 4),)
    assert made.above_chance
    assert made.sentences()[2:] == [
        "Not told apart: dog.",
        "Most often confused: dog taken for owl (3 of 4 videos).",
        "What to do: add training videos of dog (now 5); use more clusters than 4 for 4 kinds "
        "(--config.clusters=6); train longer.",
    ]


def test_everything_in_one_cluster_is_chance():
    counts = np.zeros((4, 4), int)
    counts[:, 2] = 5
    made = judge(counts, NAMES, of_cluster=(0, 1, 2, 3))
    assert made.agreement == made.chance == 0.25 and not made.above_chance
    assert made.missed == NAMES
    assert made.sentences()[:2] == [
        "It tells 0 of 4 kinds apart, on 20 videos that it never trained on.",
        "That is no better than chance: do not trust what it finds yet.",
    ]
    assert made.advice[0] == "add training videos of cat, dog, owl, pig"


def test_random_clusters_are_chance_whether_named_before_or_not():
    rng = np.random.default_rng(5)
    counts = rng.multinomial(8, [1 / 12] * 12, size=4)
    assert not judge(counts, NAMES).above_chance
    assert not judge(counts, NAMES, of_cluster=[0, 1, 2, 3] * 3).above_chance


def test_several_clusters_of_a_class_count_together():
    counts = [[2, 2, 0, 0], [0, 0, 3, 3]]
    made = judge(np.array(counts), ("a", "b"), of_cluster=(0, 0, 1, 1))
    assert made.missed == () and made.agreement == 1.0
    assert made.advice == ()


def test_clusters_without_names_are_named_here():
    counts = [[0, 5, 0], [5, 0, 0], [0, 1, 4]]
    made = judge(np.array(counts), ("a", "b", "c"))
    assert made.missed == () and made.above_chance
    # One video in each cluster says nothing of what the cluster stands for.
    alone = judge(np.eye(3, dtype=int), ("a", "b", "c"))
    assert alone.missed == ("a", "b", "c") and not alone.above_chance


def test_classes_that_have_no_video_are_not_asked_for():
    counts = np.diag([4, 0, 4, 4])
    made = judge(counts, NAMES, of_cluster=(0, 1, 2, 3))
    assert (made.kinds, made.missed) == (3, ())


def test_one_video_each_of_two_classes_is_too_few():
    made = judge(np.eye(2, dtype=int), ("a", "b"), of_cluster=(0, 1))
    assert made.sentences()[1] == "These are too few videos to say whether that is luck."


def test_without_classes_sight_is_compared_with_hearing():
    counts = np.diag([6, 6, 0, 1])
    counts[3, 0] = 3  # heard as the fourth, seen as the first
    made = judge(counts)
    assert (made.named, made.kinds, made.missed) == (False, 3, ("object 4",))
    assert made.sentences()[0] == (
        "What it sees and what it hears agree on 2 of 3 kinds, "
        "on 16 videos that it never trained on."
    )
    assert made.confused == ()


def test_a_video_counts_once():
    labels, clusters = by_video(
        np.array([1, 1, 1, 0, -1, 0]), np.array([3, 3, 2, 1, 1, -1]), np.array([7, 7, 7, 5, 5, 4])
    )
    np.testing.assert_array_equal(labels, [0, 1])
    np.testing.assert_array_equal(clusters, [1, 3])


def test_of_clips():
    videos = np.repeat(np.arange(12), 3)
    labels = videos // 4
    made = of_clips(labels, labels, videos, 5, ("a", "b", "c"))
    assert (made.videos, made.kinds, made.missed) == (12, 3, ())
    assert of_clips(labels, labels, videos, 5).named is False
    assert of_clips(np.full(3, -1), np.zeros(3, int), np.arange(3), 2, ("a",)) is None


@pytest.mark.parametrize("names", [NAMES, ()])
def test_survives_json(names):
    made = judge(np.array([[4, 0, 0, 0], [0, 1, 3, 0], [0, 0, 4, 0], [0, 0, 0, 4]]), names)
    assert Verdict.from_json(json.loads(json.dumps(made.to_json()))) == made
