"""Boxes: their conversion, and the check of their order over a file."""

from pathlib import Path

import numpy as np
import pytest

from avloc.data_pipelines.annotations.boxes import check_order, from_corners, from_xywh, has_area

FILE = Path("boxes.json")


def to_corners(rows):
    return [[x, y, x + w, y + h] for x, y, w, h in rows]


def drawn_boxes(count=400, seed=0):
    """Boxes [x, y, width, height] of any place and size within the picture."""
    corners = np.sort(np.random.default_rng(seed).uniform(size=(count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], axis=1).tolist()


def test_xywh_becomes_ymin_xmin_ymax_xmax():
    assert from_xywh([0.25, 0.5, 0.125, 0.25]) == (0.5, 0.25, 0.75, 0.375)


def test_corners_become_ymin_xmin_ymax_xmax():
    assert from_corners([0.25, 0.5, 0.375, 0.75]) == (0.5, 0.25, 0.75, 0.375)


def test_boxes_are_clipped_to_the_picture():
    assert from_xywh([-0.25, 0.75, 0.5, 0.5]) == (0.75, 0.0, 1.0, 0.25)
    assert from_corners([0.5, -0.1, 1.5, 0.25]) == (0.0, 0.5, 0.25, 1.0)


def test_a_turned_box_has_no_area():
    box = from_corners([0.5, 0.1, 0.2, 0.3])
    assert box == (0.1, 0.5, 0.3, 0.5)
    assert not has_area(box)
    assert has_area(from_corners([0.2, 0.1, 0.5, 0.3]))


def test_the_true_order_passes():
    rows = drawn_boxes()
    check_order(rows, "xywh", FILE)
    check_order(to_corners(rows), "corners", FILE)


@pytest.mark.parametrize("seed", range(5))
def test_the_other_order_is_refused_with_both_shares(seed):
    rows = drawn_boxes(seed=seed)
    with pytest.raises(
        ValueError, match=r"boxes\.json: its 400 boxes are 100% plausible as \[x, y, w"
    ):
        check_order(rows, "corners", FILE)
    with pytest.raises(ValueError, match=r"100% plausible as \[xmin, ymin, xmax, ymax\]"):
        check_order(to_corners(rows), "xywh", FILE)


def test_some_damaged_rows_do_not_turn_the_verdict():
    rows = drawn_boxes(100)
    for row in rows[:20]:
        row[2] = 0.0
    check_order(rows, "xywh", FILE)


@pytest.mark.parametrize("order", ["xywh", "corners"])
def test_what_could_be_either_passes(order):
    check_order([], order, FILE)
    check_order([[0.0, 0.0, 1.0, 1.0], [0.1, 0.1, 0.5, 0.5]], order, FILE)


@pytest.mark.parametrize("order", ["xywh", "corners"])
def test_pixels_are_refused(order):
    with pytest.raises(ValueError, match=r" 0% plausible as .* and 0% plausible as .* in 0\.\.1"):
        check_order([[224, 0, 239, 358], [158, 145, 400, 300]], order, FILE)
