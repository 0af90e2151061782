"""Average precision of boxes, against plain loops after PASCAL VOC and values by hand."""

from functools import partial

import numpy as np
import pytest

from avloc.evaluation import ceiling, evaluate, get
from avloc.evaluation.bootstrap import interval
from avloc.evaluation.detection import box_iou, detection, hits
from avloc.evaluation.items import Items
from avloc.evaluation.measuring import Detections
from tests.evaluation.test_evaluator import GRID, NAMES, clips, predictor, scenes


def items(boxes, labels, wanted, video=None):
    size = len(boxes)
    blank = dict.fromkeys(Items._fields, np.zeros(size))
    blank["video"] = np.arange(size) if video is None else np.asarray(video)
    boxes = np.asarray(boxes, float)
    return Items(**blank | {"boxes": boxes, "labels": labels, "sounding": wanted})


def found(*rows):
    item, category, boxes, scores = zip(*rows, strict=True)
    return Detections(np.array(item), np.array(category), np.array(boxes), np.array(scores, float))


def random_set(seed, count=30, slots=3, n=3, tries=120):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.5, (count, slots, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.2, 0.5, (count, slots, 2))], -1)
    labels, wanted = rng.integers(0, n, (count, slots)), rng.random((count, slots)) < 0.7
    item = rng.integers(0, count, tries)
    near = boxes[item, rng.integers(0, slots, tries)] + rng.normal(0, 0.08, (tries, 4))
    guesses = Detections(item, rng.integers(0, n, tries), near, np.round(rng.random(tries), 2))
    return guesses, items(boxes, labels, wanted, video=np.arange(count) // 3)


def plain_iou(one, other):
    height = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    width = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [max(0, b[2] - b[0]) * max(0, b[3] - b[1]) for b in (one, other)]
    return height * width / (sum(areas) - height * width)


def voc(guesses, kept, category, least, weights):
    """All-point average precision of one category by loops; equal scores are one threshold."""
    objects = {
        (i, m)
        for i in range(len(kept.boxes))
        for m in range(kept.labels.shape[1])
        if kept.sounding[i, m] and kept.labels[i, m] == category
    }
    total = sum(weights[i] for i, _ in objects)
    taken, right, count, corners = set(), 0.0, 0.0, []
    mine = [d for d in range(len(guesses.item)) if guesses.category[d] == category]
    mine.sort(key=lambda d: -guesses.scores[d])
    for at, d in enumerate(mine):
        i = guesses.item[d]
        overlaps = [
            (plain_iou(guesses.boxes[d], kept.boxes[i, m]), m) for j, m in objects if j == i
        ]
        best, slot = max(overlaps, default=(0, -1))
        if best >= least and (i, slot) not in taken:
            taken.add((i, slot))
            right += weights[i]
        count += weights[i]
        last = at + 1 == len(mine)
        if last or guesses.scores[mine[at + 1]] != guesses.scores[d]:
            corners.append((right / total, right / max(count, 1e-12)))
    area, before = 0.0, 0.0
    for at, (recall, _) in enumerate(corners):
        area += (recall - before) * max(p for _, p in corners[at:])
        before = recall
    return area


def resample(values, groups, statistic, **options):
    return interval(values, groups, statistic, draws=20, **options)


@pytest.mark.parametrize("least", [0.3, 0.5])
def test_as_plain_loops_count(least):
    guesses, kept = random_set(0)
    value = detection(guesses, kept, kept.labels, kept.sounding, least, resample)["value"]
    once = np.ones(len(kept.boxes))
    expected = [voc(guesses, kept, n, least, once) for n in range(3)]
    assert 0.05 < np.mean(expected) < 0.95
    assert value == pytest.approx(100 * np.mean(expected), abs=1e-9)


def test_a_resampled_video_counts_as_often_as_it_is_drawn():
    guesses, kept = random_set(1)
    drawn = {}

    def catch(values, groups, statistic, **_):
        weights = np.random.default_rng(0).integers(0, 3, (4, len(groups))).astype(float)
        drawn["weights"], drawn["values"] = weights, statistic(values, weights=weights)
        return interval(values, groups, statistic, draws=5)

    detection(guesses, kept, kept.labels, kept.sounding, 0.3, catch)
    for weights, value in zip(drawn["weights"], drawn["values"], strict=True):
        each = [voc(guesses, kept, n, 0.3, weights[kept.video]) for n in range(3)]
        assert value == pytest.approx(np.mean(each), abs=1e-9)


def test_by_hand():
    """Scores 0.9 right, 0.8 wrong, 0.7 right, of three: 1/3 at 1 and 1/3 at 2/3."""
    box, other, far = [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0.5, 0.5, 1]
    kept = items(
        [[box, other], [box, box]], np.zeros((2, 2), int), np.array([[True] * 2, [True, False]])
    )
    rows = ((0, 0, box, 0.9), (0, 0, far, 0.8), (1, 0, box, 0.7))
    value = detection(found(*rows), kept, kept.labels, kept.sounding, 0.5, resample)["value"]
    assert value == pytest.approx(100 * (1 + 2 / 3) / 3)
    # The same box twice is right once; a box of another category finds nothing.
    twice = found((0, 0, box, 0.9), (0, 0, box, 0.8), (0, 1, other, 0.7))
    right = hits(twice, kept.boxes, kept.labels, kept.sounding, 0.5)
    np.testing.assert_array_equal(right, [True, False, False])


def test_nothing_found_is_nought():
    kept = items([[[0, 0, 0.5, 0.5]]], np.zeros((1, 1), int), np.ones((1, 1), bool))
    nothing = Detections(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)), np.zeros(0))
    assert detection(nothing, kept, kept.labels, kept.sounding, 0.5, resample)["value"] == 0


def test_box_iou():
    one = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0.5, 1]])
    other = np.array([[0, 0, 1, 0.5], [0, 0, 0, 0], [0.5, 0, 1, 1]])
    np.testing.assert_allclose(box_iou(one, other), [0.5, 0, 0])


def test_sounding_objects_are_to_be_found_and_silent_ones_not():
    """Maps at the true boxes of what sounds: all of that, and of all objects but two thirds."""
    batch = scenes(6)
    result = evaluate(ceiling(GRID, 3), [batch], get("paper"), names=NAMES, draws=20)
    assert result.metrics["sounding mAP30"]["value"] == 100
    # Each category sounds in some scenes only; its silent objects are never found.
    shares = [batch.sounding[batch.labels == n].mean() for n in range(3)]
    assert result.metrics["mAP50"]["value"] == pytest.approx(100 * np.mean(shares))
    everything = batch._replace(sounding=np.ones_like(batch.sounding))
    found_all = evaluate(ceiling(GRID, 3), [everything], get("paper"), names=NAMES, draws=20)
    assert "mAP50" not in found_all.metrics


def test_of_single_sources_boxes_have_no_category():
    left, right = [0, 0, 1, 0.5], [0, 0.5, 1, 1]
    batch = clips([[left], [right]], [[0], [2]], [[True], [True]])
    maps = np.zeros((2, *GRID), np.float32)
    maps[:, :, :4] = [[[0.9]], [[0.6]]]
    run = partial(evaluate, predictor(maps[..., None], maps), [batch], names=NAMES, draws=2)
    # Both say left: the surer one is right.
    assert run(get("half-maximum")).metrics["AP50"]["value"] == pytest.approx(50)


def test_one_map_for_all_tells_no_category():
    batch = scenes(4)
    maps = np.random.default_rng(0).random((4, *GRID, 1)).astype(np.float32)
    found_one = evaluate(predictor(maps), [batch], get("paper"), names=NAMES, draws=2)
    assert not {"sounding mAP30", "mAP50"} & found_one.metrics.keys()
