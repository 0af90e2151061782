"""Metrics against values worked out by hand, plain loops, OpenCV and scikit-learn."""

import cv2
import jax
import numpy as np
import pytest
from sklearn.metrics import auc as sklearn_auc
from sklearn.metrics import roc_auc_score

from avloc.evaluation import metrics
from avloc.evaluation.edges import pixel_edges
from avloc.evaluation.protocols import PROTOCOLS, Protocol, Threshold, get
from tests.evaluation import published

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


def test_votes_are_of_valid_boxes_with_floored_edges():
    boxes = np.array([[0.0, 0.0, 0.26, 0.5], [0.49, 0.3, 1.0, 0.99], [0, 0, 1, 1]], np.float32)
    edges = pixel_edges(boxes, 4)
    votes = np.asarray(metrics.box_votes(edges, np.array([True, True, False]), 4))
    expected = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    np.testing.assert_array_equal(votes, expected)
    votes = np.asarray(metrics.box_votes(edges, np.ones(3, bool), 4))
    np.testing.assert_array_equal(votes, np.add(expected, 1))


def test_iou_by_hand():
    # 6 predicted, 4 of them in a truth of 8: 4 / (8 + 2).
    assert metrics.iou(4, 8, 2) == pytest.approx(0.4)
    assert metrics.iou(0, 8, 0) == 0
    assert np.isnan(metrics.iou(0, 0, 5))


def measure(maps, boxes, labels, sounding, protocol, largest=1.0):
    """All counts, and the objects' masses, of some maps."""
    edges = pixel_edges(boxes, protocol.size, protocol.edges)
    resized, cuts = metrics.enlarge(maps, protocol.size), None
    if protocol.threshold.of == "quantile":
        cuts = metrics.quantile_cuts(resized, protocol.threshold.fraction)
    largest = np.float32(largest)
    counts = metrics.measure(resized, edges, labels, sounding, largest, cuts, protocol=protocol)
    return counts, metrics.object_mass(maps, edges, labels, protocol=protocol)


def test_measure_by_hand():
    """A left-half map against a box on the top left quarter, at 4 x 4 pixels."""
    maps = np.zeros((1, 4, 4, 2), np.float32)
    maps[0, :, :2, 0] = 0.8
    maps[0, :, :, 1] = 0.1
    box = np.array([[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]], np.float32)
    protocol = Protocol("four", 1, "multiple", HALF, 0.3, Threshold("absolute", 0.2), size=4)
    out, mass = measure(maps, box, np.array([[0, 1]]), np.array([[True, False]]), protocol)
    np.testing.assert_array_equal(out.overlap, [[4, 0]])
    np.testing.assert_array_equal(out.truth, [[4, 0]])
    np.testing.assert_array_equal(out.outside, [[4, 16]])
    np.testing.assert_allclose(out.quiet, [[0.5, 1.0]])
    np.testing.assert_array_equal(out.lit, [[True, False]])
    np.testing.assert_allclose(mass, [[0.8, 0.1]], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_measure_equals_plain_loops(name):
    """Sixteenths, enlarged by a power of two: sums are exact, and counts must agree to a pixel."""
    protocol = get(name)
    size = protocol.size
    data = scenes(cells={224: 7, 256: 8}[size])
    data["maps"] = (np.round(16 * data["maps"]) / 16).astype(np.float32)
    resized = [[cv2.resize(m, (size, size)) for m in np.moveaxis(s, -1, 0)] for s in data["maps"]]
    largest = np.max(resized)
    out, masses = measure(**data, protocol=protocol, largest=largest)
    for i, of_scene in enumerate(resized):
        for n, one in enumerate(of_scene):
            votes = np.zeros((size, size), int)
            slots = zip(data["boxes"][i], data["labels"][i], data["sounding"][i], strict=True)
            for slot, (box, label, heard) in enumerate(slots):
                top, left, bottom, right = (int(edge * size) for edge in box)
                if label == n:
                    mass = one[top:bottom, left:right].mean(dtype=np.float64)
                    assert masses[i, slot] == pytest.approx(mass, abs=1e-6)
                    votes[top:bottom, left:right] += heard
            full = 2 if protocol.iou == "consensus" else 1
            weight = np.minimum(votes / full, 1)
            predicted = one > published.limit(protocol.threshold, one, largest)
            assert out.truth[i, n] == weight.sum()
            assert out.overlap[i, n] == weight[predicted].sum()
            assert out.outside[i, n] == (predicted & (weight == 0)).sum()
            assert out.peak[i, n] == one.max()
            if protocol.silent:
                tau = published.limit(protocol.silent, one, largest)
                quiet = (one <= tau if protocol.silent_at_tau else one < tau).mean()
                assert out.quiet[i, n] == pytest.approx(quiet, abs=1e-7)
                assert out.lit[i, n] == (quiet < 1)


def test_slots_that_are_not_used_change_nothing():
    data = scenes(2)
    padded = dict(
        data,
        boxes=np.pad(data["boxes"], ((0, 0), (0, 2), (0, 0))),
        labels=np.pad(data["labels"], ((0, 0), (0, 2)), constant_values=-1),
        sounding=np.pad(data["sounding"], ((0, 0), (0, 2))),
    )
    out, mass = measure(**data, protocol=SMALL)
    more, longer = measure(**padded, protocol=SMALL)
    np.testing.assert_array_equal(longer, np.pad(mass, ((0, 0), (0, 2))))
    for one, other in zip(out, more, strict=True):
        np.testing.assert_array_equal(one, other)


def test_mass_is_of_the_enlarged_map_whatever_the_grid():
    rng = np.random.default_rng(0)
    boxes = np.array([[[0.1, 0.2, 0.4, 0.9], [0.5, 0.5, 0.5, 0.8]]])
    for grid in ((14, 14), (7, 5), (8, 8), (20, 30)):
        maps = rng.random((1, *grid, 2), np.float32)
        _, mass = measure(maps, boxes, np.array([[1, 0]]), np.ones((1, 2), bool), SMALL)
        resized = np.asarray(metrics.enlarge(maps, 8), np.float64)
        assert mass[0, 0] == pytest.approx(resized[0, 1, 0:3, 1:7].mean(), abs=1e-6)
        assert mass[0, 1] == 0


def test_a_consensus_weighs_pixels_by_votes():
    """Three annotators: both halves of a 2 x 4 picture have votes 2 and 1, g = 1 and 0.5."""
    left, right = [0, 0, 1, 0.5], [0, 0.5, 1, 1]
    protocol = Protocol("votes", 1, "single", HALF, 0.5, size=4, iou="consensus")
    boxes = np.array([[left, left, right]], np.float32)
    maps = np.zeros((1, 4, 4, 1), np.float32)
    maps[0, :, :1] = 1
    labels, heard = np.zeros((1, 3), int), np.ones((1, 3), bool)
    out, _ = measure(maps, boxes, labels, heard, protocol)
    # sum g = 8 + 8 / 2; four pixels of weight 1 are predicted, none without a vote.
    assert metrics.iou(out.overlap, out.truth, out.outside)[0, 0] == pytest.approx(4 / 12)
    out, _ = measure(maps[:, :, ::-1], boxes, labels, heard, protocol)
    assert metrics.iou(out.overlap, out.truth, out.outside)[0, 0] == pytest.approx(2 / 12)
    # One box alone: outside pixels add to the union.
    out, _ = measure(maps[:, :, ::-1], boxes, labels, heard & [True, False, False], protocol)
    assert metrics.iou(out.overlap, out.truth, out.outside)[0, 0] == 0
    assert (out.truth[0, 0], out.outside[0, 0]) == (4, 4)


def test_a_median_cut_predicts_all_but_the_lower_half():
    rng = np.random.default_rng(0)
    maps = rng.permutation(64).reshape(1, 1, 8, 8).astype(np.float32)
    np.testing.assert_array_equal(metrics.quantile_cuts(maps, 0.5), [[32]])
    assert (maps > metrics.quantile_cuts(maps, 0.5)[..., None, None]).sum() == 31
    assert (maps > metrics.quantile_cuts(maps, 0.75)[..., None, None]).sum() == 15
    # Flat at the top over more than half: the top is predicted. A negative map is no exception.
    flat = np.minimum(maps, 20)
    assert (flat > metrics.quantile_cuts(flat, 0.5)[..., None, None]).sum() == 44
    assert (flat - 50 > metrics.quantile_cuts(flat - 50, 0.5)[..., None, None]).sum() == 44


CONSTANTS = (1.0, 0.7, 0.3, 0.1, 0.2, 1 / 3, 0.0, 1e-30, 1e-40, -0.2)


@pytest.mark.parametrize("cells", [(14, 14), (7, 5), (1, 1), (300, 3)])
def test_a_constant_map_stays_constant(cells):
    """To the last bit, whatever the value: where it does not, a quantile predicts a part of it."""
    maps = np.stack([np.full(cells, value, np.float32) for value in CONSTANTS])
    resized = np.asarray(metrics.resize(maps, 224))
    assert (resized == resized[:, :1, :1]).all()
    np.testing.assert_allclose(resized[:, 0, 0], np.float32(CONSTANTS), rtol=1e-7, atol=1e-38)


@pytest.mark.parametrize("value", CONSTANTS)
def test_a_constant_map_is_all_predicted_by_a_quantile(value):
    """Against a box on its left half it scores half, at any height; so NumPy and jit say."""
    maps = np.full((1, 14, 14, 1), value, np.float32)
    box, label, heard = np.array([[[0, 0, 1, 0.5]]]), np.zeros((1, 1), int), np.ones((1, 1), bool)
    out, _ = measure(maps, box, label, heard, get("lvs-median"))
    assert metrics.iou(out.overlap, out.truth, out.outside)[0, 0] == 0.5
    resized = np.asarray(metrics.enlarge(maps, 224))
    cuts = metrics.quantile_cuts(resized, 0.5)[..., None, None]
    assert (resized > cuts).all()
    assert np.asarray(jax.jit(lambda one, cut: one > cut)(resized, cuts)).all()


@pytest.mark.parametrize("top", [1.0, 1 / 3, 1e-30, 0.0])
def test_a_flat_top_is_predicted_and_nothing_else(top):
    """Ten of fourteen columns at the top: all that is at the top, and no pixel of the slope."""
    maps = np.full((1, 14, 14, 1), top - 1, np.float32)
    maps[:, :, :10] = top
    resized = np.asarray(metrics.enlarge(maps, 224))
    predicted = resized > metrics.quantile_cuts(resized, 0.5)[..., None, None]
    np.testing.assert_array_equal(predicted[0, 0], np.tile(np.arange(224) < 152, (224, 1)))


def test_a_uniform_map_of_five_sources_is_silent_at_tau():
    """Published NSA: a softmax over five that says nothing is 0.2 everywhere, which counts."""
    maps = np.full((2, 14, 14, 5), 0.2, np.float32)
    maps[1] = np.nextafter(maps[1], np.float32(1))  # as another device may round it
    nothing = np.zeros((2, 1, 4)), np.full((2, 1), -1), np.zeros((2, 1), bool)
    for name, quiet in (("dsol-duet", 1), ("ier", 0)):  # up to tau, and below it
        out, _ = measure(maps, *nothing, get(name))
        np.testing.assert_array_equal(out.quiet, np.full((2, 5), quiet))
        np.testing.assert_array_equal(out.lit, np.full((2, 5), not quiet))


def test_last_bits_do_not_decide_what_is_predicted():
    """A plateau at a tenth of the maximum lies on the cut, whichever way it was rounded."""
    maps = np.zeros((3, 4, 4, 1), np.float32)
    maps[:, 0], maps[:, 1:] = 0.7, 0.07
    maps[1, 1:], maps[2, 1:] = (np.nextafter(np.float32(0.07), np.float32(x)) for x in (0, 1))
    protocol = Protocol("tenth", 1, "single", Threshold("own-maximum", 0.1), 0.5, size=4)
    box, label, heard = np.ones((3, 1, 4)) * [0, 0, 0.25, 1], np.zeros((3, 1)), np.ones((3, 1))
    out, _ = measure(maps, box, label.astype(int), heard.astype(bool), protocol)
    np.testing.assert_array_equal(out.overlap, [[4]] * 3)
    np.testing.assert_array_equal(out.outside, [[0]] * 3)


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
