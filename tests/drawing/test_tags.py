import numpy as np
import pytest
from PIL import Image

from avloc.drawing.tags import place_tag, tag

WHITE = (255, 255, 255)
LABEL = tag("bell", (200, 40, 10), 14)
WIDTH, HEIGHT = LABEL.size


def placed(*boxes, size=(320, 240)):
    """Where labels of boxes stand: left, top, right, bottom."""
    canvas, taken = Image.new("RGB", size, WHITE), []
    for box in boxes:
        place_tag(canvas, LABEL, np.array(box), 1.0, taken)
    return canvas, taken


def test_a_name_stands_above_its_box():
    canvas, ((left, top, right, bottom),) = placed([0.5, 0.25, 0.75, 0.75])
    assert (left + right) / 2 == pytest.approx(160, abs=1) and bottom == 118
    changed = np.nonzero((np.asarray(canvas) != 255).any(-1))
    assert (changed[0].min(), changed[0].max() + 1) == (top, bottom)
    assert (changed[1].min(), changed[1].max() + 1) == (left, right)


@pytest.mark.parametrize(
    ("box", "side"),
    [([0, 0.2, 0.4, 0.8], "below"), ([0, 0.2, 1, 0.8], "inside"), ([0.5, 0, 0.6, 0.01], "above")],
)
def test_at_the_edge_of_the_picture_it_goes_where_there_is_room(box, side):
    _, ((left, top, right, bottom),) = placed(box)
    assert min(left, top) >= 0 and right <= 320 and bottom <= 240
    y0, _, y1, _ = (np.array(box) * 240).round()
    where = "above" if bottom <= y0 else "below" if top >= y1 else "inside"
    assert where == side


def test_names_of_one_place_stay_at_it_and_clear_of_each_other():
    box = [0.4, 0.4, 0.6, 0.6]
    _, taken = placed(*[box] * 6)
    for i, (left, top, right, bottom) in enumerate(taken):
        for x, y, r, b in taken[:i]:
            assert right <= x or r <= left or bottom <= y or b <= top
        assert left <= 0.6 * 320 + 2 and right >= 0.4 * 320 - 2
        assert top <= 0.6 * 240 + 2 and bottom >= 0.4 * 240 - 2


def test_a_name_that_must_go_elsewhere_has_a_line_to_its_box():
    box = [0.5, 0.5, 0.52, 0.52]
    canvas, taken = placed(*[box] * 6, size=(100, 240))
    far = max(taken, key=lambda area: abs(area[1] - 120))
    assert min(abs(far[1] - 120), abs(far[3] - 120)) > HEIGHT
    pixels = np.asarray(canvas.convert("L")).astype(int)
    top, bottom = sorted((120, (far[1] + far[3]) // 2))
    assert (pixels[top : bottom + 1].min(1) < 100).all()  # dark all the way


def test_a_label_larger_than_the_picture_is_drawn_from_its_corner():
    _, (area,) = placed([0, 0, 1, 1], size=(WIDTH - 9, HEIGHT - 4))
    assert area[:2] == (0, 0)
