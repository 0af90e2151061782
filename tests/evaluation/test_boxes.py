import numpy as np
import pytest
from scipy import ndimage

from avloc.drawing.rendering import upsample
from avloc.evaluation.boxes import boxes_from_map, boxes_of


def test_one_block_at_its_own_size():
    map = np.zeros((10, 20))
    map[2:5, 4:10] = 0.8
    boxes, scores = boxes_from_map(map, size=(10, 20))
    np.testing.assert_allclose(boxes, [[0.2, 0.2, 0.5, 0.5]])
    np.testing.assert_allclose(scores, [0.8], rtol=1e-6)


def test_threshold_is_a_share_of_the_range():
    """CSOL 4.4: the map is normalised, then cut. 0.055 is half-way, and 0.0775 three quarters."""
    ramp = np.tile(np.linspace(0.01, 0.1, 10), (10, 1))  # 0.01, 0.02, ... 0.1
    for threshold, first in ((0.5, 5), (0.75, 7), (1.0, 9)):
        boxes = boxes_of(ramp[None], 1.0, threshold - 1e-6).boxes
        np.testing.assert_allclose(boxes, [[0, first / 10, 1, 1]], rtol=1e-6)


def test_several_components_come_by_score():
    map = np.zeros((12, 12))
    map[0:3, 0:3] = 0.6
    map[6:10, 6:12] = 0.9
    boxes, scores = boxes_from_map(map, size=(12, 12))
    np.testing.assert_allclose(boxes, [[0.5, 0.5, 10 / 12, 1], [0, 0, 0.25, 0.25]])
    np.testing.assert_allclose(scores, [0.9, 0.6], rtol=1e-6)


def test_tiny_components_are_dropped_but_never_all():
    map = np.zeros((20, 20))
    map[0:10, 0:10] = 1
    map[15, 15:20] = 1  # 5 of 100 pixels: under a tenth of the largest
    assert len(boxes_from_map(map, size=(20, 20))[0]) == 1
    map[16, 15:20] = 1  # 10 of 100
    assert len(boxes_from_map(map, size=(20, 20))[0]) == 2
    point = np.zeros((4, 4))
    point[2, 2] = 1  # enlarged and cut at 0.95, far less than half a cell remains
    assert len(boxes_of(upsample(point, (64, 64))[None], 256.0, 0.95).boxes) == 1


def test_less_than_half_a_cell_is_dropped():
    map = np.zeros((8, 8))
    map[1:3, 1:3] = 1
    map[6, 6] = 0.55  # just over the threshold: a speck of a cell once enlarged
    boxes, _ = boxes_from_map(map, size=(160, 160))
    assert len(boxes) == 1 and boxes[0, 2] < 0.5


def test_boxes_of_a_coarse_map_are_fine_and_centred():
    map = np.zeros((7, 7))
    map[3, 3] = 1
    ((ymin, xmin, ymax, xmax),), _ = boxes_from_map(map, size=(210, 210))
    # A bilinear tent of height 1 over one cell falls to half at half a cell from its centre.
    np.testing.assert_allclose([ymin, xmin], 3.0 / 7, atol=1.1 / 210)
    np.testing.assert_allclose([ymax, xmax], 4.0 / 7, atol=1.1 / 210)


def test_a_raised_background_does_not_change_the_box():
    map = np.zeros((12, 12))
    map[2:6, 3:9] = 1
    expected, _ = boxes_from_map(map, size=(120, 120))
    np.testing.assert_allclose(expected, [[2 / 12, 3 / 12, 6 / 12, 9 / 12]], atol=1.1 / 120)
    boxes, scores = boxes_from_map(0.6 + 0.3 * map, size=(120, 120))
    np.testing.assert_allclose(boxes, expected, atol=1e-6)
    np.testing.assert_allclose(scores, [0.9], rtol=1e-6)


def test_a_region_that_is_everywhere_has_one_box():
    map = np.full((12, 12), 0.8)
    map[3, 3], map[8, 7] = 0.1, 0.2  # holes
    boxes, scores = boxes_from_map(map, size=(120, 120))
    np.testing.assert_array_equal(boxes, [[0, 0, 1, 1]])
    np.testing.assert_allclose(scores, [0.8], rtol=1e-6)


def test_a_softmax_map_is_boxed_around_its_object():
    """0.10 everywhere and 0.18 on the object: half of the maximum would be the whole frame."""
    map = np.full((8, 8), 0.10, np.float32)
    map[2:6, 4:8] = 0.18
    found = boxes_of(map[None], 1.0)
    np.testing.assert_allclose(found.boxes, [[0.25, 0.5, 0.75, 1]])
    np.testing.assert_allclose(found.scores, [0.18])
    # Values have no common zero: moved or turned to cosines, the box is the same.
    np.testing.assert_array_equal(boxes_of(map[None] - 1, 1.0).boxes, found.boxes)


def test_a_flat_map_is_the_whole_frame_or_nothing():
    flat = np.float32([1, 1 / 3, 0, -1])[:, None, None] * np.ones((1, 6, 6), np.float32)
    flat[1, 2, 2] = np.nextafter(flat[1, 2, 2], np.float32(1))  # the last bit says nothing
    found = boxes_of(flat, 1.0)
    assert found.place.tolist() == [0, 1]
    np.testing.assert_array_equal(found.boxes, [[0, 0, 1, 1]] * 2)


def test_nothing_has_no_boxes():
    boxes, scores = boxes_from_map(np.zeros((5, 5)), size=(50, 50))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_threshold_is_checked():
    for threshold in (0, -1, 1.5):
        with pytest.raises(ValueError, match="threshold"):
            boxes_of(np.ones((1, 4, 4)), 4.0, threshold)


def test_many_maps_at_once_are_as_scipy_labels_them():
    rng = np.random.default_rng(0)
    maps = rng.random((40, 30, 23)).astype(np.float32) ** 2
    maps[3] = 0
    found = boxes_of(maps, cell=2.0)
    for place, one in enumerate(maps):
        parts, count = ndimage.label((one >= (one.min() + one.max()) / 2) & (one > 0))
        index = np.arange(1, count + 1)
        area = ndimage.sum_labels(np.ones_like(one), parts, index) if count else np.zeros(0)
        expected = [
            (float(one[parts == n].max()), rows.start, columns.start, rows.stop, columns.stop)
            for n, (rows, columns) in zip(index, ndimage.find_objects(parts), strict=True)
            if area[n - 1] >= max(1.0, 0.1 * area.max())
        ]
        own = found.place == place
        pixels = np.round(found.boxes[own] * [30, 23, 30, 23]).astype(int).tolist()
        scores = found.scores[own].tolist()
        assert scores == sorted(scores, reverse=True)
        assert sorted((s, *b) for s, b in zip(scores, pixels, strict=True)) == sorted(expected)
