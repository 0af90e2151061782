"""Contact sheets, read back by the colour of their pixels."""

import numpy as np
import pytest
from PIL import ImageDraw

from avloc.data_pipelines.checks.preview import Item
from avloc.drawing import contact_sheet as sheets
from avloc.drawing.contact_sheet import contact_sheet
from avloc.drawing.rendering import palette

NAMES = ("cello", "flute", "violin")


def item(boxes=(), labels=(), sounding=(), offscreen=None, size=(96, 96), **more) -> Item:
    count = len(labels)
    values = dict(
        id="a",
        frame=np.full((*size, 3), 100, np.uint8),
        boxes=np.float32(boxes).reshape(count, 4),
        labels=np.int32(labels),
        sounding=np.array(sounding, bool),
        offscreen=np.zeros(count, bool) if offscreen is None else np.array(offscreen, bool),
        spectrogram=np.random.default_rng(0).normal(size=(201, 64)).astype(np.float32),
    )
    return Item(**values | more)


def where(sheet, colour):
    return np.argwhere((sheet == np.uint8(colour)).all(-1))


@pytest.fixture
def said(monkeypatch):
    """Texts that are drawn, with the rectangle that each takes: left, top, right, bottom."""
    texts = []
    draw = ImageDraw.ImageDraw.text

    def listen(self, at, text, *arguments, **more):
        texts.append((text, self.textbbox(at, text, font=more["font"], anchor=more["anchor"])))
        return draw(self, at, text, *arguments, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    return texts


def test_what_sounds_has_its_colour_and_what_is_silent_is_dashed_white():
    boxes = [(0.25, 0.1, 0.75, 0.4), (0.25, 0.6, 0.75, 0.9)]
    both = contact_sheet([item(boxes, [0, 2], [True, False])], NAMES, "title")
    colour = palette(3)
    ys, xs = where(both, colour[0]).T
    frame = where(both, (100, 100, 100))
    top, left = frame.min(0)
    side = sheets._SIDE
    assert abs(xs.min() - left - 0.1 * side) < 3 and abs(xs.max() - left - 0.4 * side) < 3
    assert abs(ys.max() - top - 0.75 * side) < 3
    inside = both[top : top + side, left : left + side]
    white = where(inside, (255, 255, 255))
    dashed = white[white[:, 1] > 0.58 * side]
    assert abs(dashed[:, 0].max() - 0.75 * side) < 3
    edge = (inside[:, round(0.6 * (side - 1))] == 255).all(-1)[round(0.3 * side) : -95]
    assert 0.3 < edge.mean() < 0.7


def test_what_has_no_box_is_named(said):
    shown = item(
        [(0, 0, 0, 0)] * 3, [0, 1, -1], [True, True, False], offscreen=[True, False, False]
    )
    contact_sheet([shown], NAMES, "title")
    drawn = " ".join(text for text, _ in said)
    assert "off screen: cello" in drawn
    assert "sounds, position not known: flute" in drawn
    assert "silent, position not known: unknown" in drawn


def test_long_words_stay_in_their_cell(said):
    shown = item(
        np.zeros((9, 4)), [0] * 9, [True] * 9, id="2gk-IN35s5I_0_1000/frame_003/" + "0123456789" * 5
    )
    contact_sheet([shown] * 5, NAMES, "A title " * 60)
    assert len(said) == 5 * 3 + 2  # an id and two lines a cell; title and legend
    for text, (left, _, right, _) in said[:-2]:
        assert left >= 0 and right <= sheets._SIDE, text
    assert any("…" in text and text.startswith("2gk-") and text.endswith("789") for text, _ in said)


def test_tags_of_small_boxes_do_not_lie_on_each_other(monkeypatch):
    spots = []
    place = sheets.place_tag

    def listen(canvas, label, anchor, strength, taken):
        place(canvas, label, anchor, strength, taken)
        spots.append(taken[-1])

    monkeypatch.setattr(sheets, "place_tag", listen)
    grid = [(y, x, y + 0.3, x + 0.15) for y in (0.1, 0.6) for x in (0.05, 0.3, 0.55, 0.8)]
    contact_sheet([item(grid, [0, 1, 2, 0, 1, 2, 0, 1], [True, False] * 4)], NAMES, "title")
    assert len(spots) == 8
    for i, (left, top, right, bottom) in enumerate(spots):
        assert left >= 0 and top >= 0 and right <= sheets._SIDE and bottom <= sheets._SIDE
        for x, y, r, b in spots[:i]:
            assert right <= x or r <= left or bottom <= y or b <= top


def test_frames_keep_their_shape_and_rows_their_height():
    tall, wide = item(size=(60, 30)), item(size=(30, 60))
    one = contact_sheet([wide], NAMES, "title")
    assert contact_sheet([wide] * 4, NAMES, "title").shape[0] <= one.shape[0]  # legend in one line
    ys, xs = where(one, (100, 100, 100)).T
    assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (176, 352)
    mixed = contact_sheet([tall, wide], NAMES, "title")
    assert mixed.shape[0] == contact_sheet([tall], NAMES, "title").shape[0] == one.shape[0] + 176
    five = contact_sheet([wide] * 5, NAMES, "title")
    assert five.shape[1] == 4 * (sheets._SIDE + sheets._MARGIN) + sheets._MARGIN


def test_the_spectrogram_is_dark_where_quiet_and_low_at_the_bottom():
    sound = np.full((201, 64), -60.0, np.float32)
    sound[::2] -= 1
    sound[100:, :8] = 0  # low pitch, second half
    sound[:, 20] = -100  # a bin without a frequency
    image = np.asarray(sheets._sound(sound)).sum(-1, dtype=int)
    height, width = image.shape
    loud = image[round(height * 0.95), round(width * 0.9)]
    assert loud > 600 and image[round(height * 0.95), 20] < 150
    assert image[round(height * 0.2), round(width * 0.9)] < 150
    assert np.asarray(sheets._sound(np.full((201, 64), -80, np.float32))).sum(-1).max() < 50


def test_a_data_set_without_names():
    contact_sheet([item([(0.2, 0.2, 0.5, 0.5)], [-1], [True])], (), "title")
