"""Metrics against values worked out by hand, plain loops, OpenCV and scikit-learn."""

import cv2
import jax
import numpy as np
import pytest
from sklearn.metrics import auc as sklearn_auc
from sklearn.metrics import roc_auc_score

from avloc.evaluation import metrics
from avloc.evaluation.protocols import PROTOCOLS, Protocol, Threshold, get

HALF = Threshold("own-maximum", 0.5)
SMALL = Protocol("small", 1, "multiple", HALF, 0.3, Threshold("absolute", 0.2), size=8)


def scenes(seed=0, count=3, n=4, slots=3, cells=5):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.6, (count, slots, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.4, (count, slots, 2))], -1)
    return dict(
        maps=rng.random((count, cells, cells, n), np.float32),
        boxes=boxes.astype(np.float32),
        labels=np.stack([rng.permutation(n)[:slots] for _ in range(count)]).astype(np.int32),
        sounding=rng.random((count, slots)) < 0.6,
    )


@pytest.mark.parametrize(("cells", "error"), [(1, 1e-6), (3, 1e-6), (14, 1e-6), (300, 5e-5)])
def test_resize_is_opencv_bilinear(cells, error):
    maps = np.random.default_rng(0).random((2, cells, cells), np.float32)
    expected = np.stack([cv2.resize(m, (224, 224), interpolation=cv2.INTER_LINEAR) for m in maps])
    np.testing.assert_allclose(metrics.resize(maps, 224), expected, atol=error)


def test_box_masks_are_the_union_of_valid_boxes_with_floored_edges():
    boxes = np.array([[0.0, 0.0, 0.26, 0.5], [0.49, 0.3, 1.0, 0.99], [0, 0, 1, 1]], np.float32)
    mask = np.asarray(metrics.box_masks(boxes, np.array([True, True, False]), 4))
    expected = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def test_float32_edges_on_a_pixel_boundary_stay_there():
    edges = np.arange(225, dtype=np.float64) / 224
    boxes = np.stack([0 * edges, 0 * edges, edges, edges], -1).astype(np.float32)
    np.testing.assert_array_equal(metrics.pixel_edges(boxes, 224)[:, 2], np.arange(225))


def test_iou_by_hand():
    # 6 predicted, 4 of them in a truth of 8: 4 / (8 + 2).
    assert metrics.iou(4, 8, 2) == pytest.approx(0.4)
    assert metrics.iou(0, 8, 0) == 0
    assert np.isnan(metrics.iou(0, 0, 5))


def test_measure_by_hand():
    """A left-half map against a box on the top left quarter, at 4 x 4 pixels."""
    maps = np.zeros((1, 4, 4, 2), np.float32)
    maps[0, :, :2, 0] = 0.8
    maps[0, :, :, 1] = 0.1
    box = np.array([[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]], np.float32)
    protocol = Protocol("four", 1, "multiple", HALF, 0.3, Threshold("absolute", 0.2), size=4)
    labels, sounding = np.array([[0, 1]]), np.array([[True, False]])
    out = metrics.measure(maps, box, labels, sounding, 1.0, protocol=protocol)
    np.testing.assert_array_equal(out.overlap, [[4, 0]])
    np.testing.assert_array_equal(out.truth, [[4, 0]])
    np.testing.assert_array_equal(out.outside, [[4, 16]])
    np.testing.assert_allclose(out.quiet, [[0.5, 1.0]])
    np.testing.assert_allclose(out.mass, [[0.8, 0.1]], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_measure_equals_plain_loops(name):
    protocol, data = get(name), scenes()
    largest = max(np.asarray(metrics.largest_value(data["maps"], protocol)))
    out = metrics.measure(**data, largest=largest, protocol=protocol)
    resized = [[cv2.resize(m, (224, 224)) for m in np.moveaxis(s, -1, 0)] for s in data["maps"]]
    assert largest == pytest.approx(np.max(resized), abs=1e-6)

    def limit(rule, one):
        base = {"largest": largest, "own-maximum": one.max(), "absolute": 1.0}[rule.of]
        return rule.fraction * base

    for i, of_scene in enumerate(resized):
        for n, one in enumerate(of_scene):
            truth = np.zeros((224, 224), bool)
            for box, label, heard in zip(
                data["boxes"][i], data["labels"][i], data["sounding"][i], strict=True
            ):
                top, left, bottom, right = (int(edge * 224) for edge in box)
                if label == n:
                    mass = one[top:bottom, left:right].mean()
                    slot = list(data["labels"][i]).index(n)
                    assert out.mass[i, slot] == pytest.approx(mass, abs=1e-5)
                    truth[top:bottom, left:right] |= heard
            assert out.truth[i, n] == truth.sum()
            predicted = one > limit(protocol.threshold, one)
            # A pixel within float32 rounding of the threshold may fall on either side.
            assert abs(int(out.overlap[i, n]) - (predicted & truth).sum()) <= 1
            assert abs(int(out.outside[i, n]) - (predicted & ~truth).sum()) <= 1
            if protocol.silent:
                quiet = (one < limit(protocol.silent, one)).mean()
                assert out.quiet[i, n] == pytest.approx(quiet, abs=3e-5)


def test_measure_without_jit_is_the_same():
    data = scenes(1, count=2)
    jitted = metrics.measure(**data, largest=np.float32(1), protocol=SMALL)
    with jax.disable_jit():
        plain = metrics.measure(**data, largest=np.float32(1), protocol=SMALL)
    for one, other in zip(jitted, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_slots_that_are_not_used_change_nothing():
    data = scenes(2)
    padded = dict(
        data,
        boxes=np.pad(data["boxes"], ((0, 0), (0, 2), (0, 0))),
        labels=np.pad(data["labels"], ((0, 0), (0, 2)), constant_values=-1),
        sounding=np.pad(data["sounding"], ((0, 0), (0, 2))),
    )
    out = metrics.measure(**data, largest=np.float32(1), protocol=SMALL)
    more = metrics.measure(**padded, largest=np.float32(1), protocol=SMALL)
    np.testing.assert_array_equal(more.mass[:, 3:], 0)
    for name in out._fields:
        np.testing.assert_allclose(
            getattr(more, name)[:, : getattr(out, name).shape[1]], getattr(out, name)
        )


def test_class_aware_iou_is_over_sounding_categories():
    ious = np.array([[0.2, 0.6, np.nan], [0.5, np.nan, np.nan]])
    sounds = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_allclose(metrics.class_aware_iou(ious, sounds), [0.4, 0.5])


def test_no_sounding_area_is_over_silent_categories():
    quiet = np.array([[0.0, 1.0, 0.5], [0.1, 0.2, 0.3]])
    sounds = np.array([[True, False, False], [True, True, True]])
    np.testing.assert_allclose(metrics.no_sounding_area(quiet, sounds), [0.75, np.nan])


def test_auc_is_the_trapezoid_under_the_success_rate():
    scores = np.r_[np.random.default_rng(0).random(50), 0, 1, 0.3, 0.35, 0.7]
    for name in ("paper", "dsol-duet"):
        levels = get(name).success_levels
        rates = [(scores >= level).mean() for level in levels]
        expected = sklearn_auc(np.linspace(0, 1, 21), rates)
        assert metrics.success_auc(scores, levels).mean() == pytest.approx(expected)


def test_exact_scores_at_a_level():
    exact, published = get("paper").success_levels, get("dsol-duet").success_levels
    # Seven levels reached are six full steps and half of the next.
    assert metrics.success_auc(np.array([0.3]), exact)[0] == pytest.approx(0.325)
    assert metrics.success_auc(np.array([0.3]), published)[0] == pytest.approx(0.275)
    nearly = 0.7 - 0.4
    assert nearly < 0.3
    assert metrics.success_auc(np.array([nearly]), exact)[0] == pytest.approx(0.325)


def test_auroc_is_scikit_learns_with_ties():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 80) / 5, rng.random(80) < 0.4
    assert metrics.auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert metrics.auroc(np.ones(4), np.array([1, 0, 0, 1])) == 0.5


def test_auroc_weights_count_items():
    rng = np.random.default_rng(1)
    scores, positive = rng.integers(0, 4, 30), rng.random(30) < 0.5
    weights = rng.integers(0, 3, (5, 30))
    expected = [roc_auc_score(np.repeat(positive, w), np.repeat(scores, w)) for w in weights]
    np.testing.assert_allclose(metrics.auroc(scores, positive, weights), expected)


def test_auroc_of_one_side_only_is_undefined():
    assert np.isnan(metrics.auroc(np.arange(3), np.ones(3, bool)))
