import numpy as np
import pytest

from avloc.drawing.rendering import palette
from avloc.drawing.timeline import Timeline, timeline_strip

NAMES = ("cello", "drum", "flute")


def spans(strip, colour):
    """Columns of a strip that hold an exact colour, and its rows."""
    there = (strip == np.array(colour, np.uint8)).all(-1)
    return np.nonzero(there.any(0))[0], np.nonzero(there.any(1))[0]


@pytest.fixture
def heard():
    """Ten seconds: the cello sounds in the first half, the flute in the last second."""
    sounding = np.zeros((10, 3), bool)
    sounding[:5, 0] = True
    sounding[9, 2] = True
    return sounding


def test_rows_are_filled_where_their_class_sounds(heard):
    strip = timeline_strip(heard * 0.8, heard, NAMES, 640)
    assert strip.dtype == np.uint8 and strip.shape[1:] == (640, 3)
    cello, cello_rows = spans(strip, palette(3)[0])
    flute, flute_rows = spans(strip, palette(3)[2])
    assert len(spans(strip, palette(3)[1])[0]) == 0  # never sounds: no row
    assert (np.diff(cello) == 1).all() and (np.diff(flute) == 1).all()
    assert len(cello) == pytest.approx(5 * len(flute), abs=5)
    span = flute.max() + 1 - cello.min()
    assert len(cello) == pytest.approx(span / 2, abs=1)
    assert cello_rows.max() < flute_rows.min()


def test_the_cursor_stands_at_its_time(heard):
    timeline = Timeline(heard * 0.8, heard, NAMES, 640)
    plain = timeline.at()
    cello, _ = spans(plain, palette(3)[0])
    flute, _ = spans(plain, palette(3)[2])
    left, right = cello.min(), flute.max()
    for time, place in ((0, left), (5, (left + right) / 2), (10, right), (11, right), (-1, left)):
        changed = np.nonzero((timeline.at(time) != plain).any((0, 2)))[0]
        assert len(changed) <= 8
        assert changed.mean() == pytest.approx(place, abs=3)
    np.testing.assert_array_equal(timeline.at(), plain)  # drawing the cursor changed nothing


def test_the_dim_curve_follows_the_score_of_a_silent_class(heard):
    scores = heard * 1.0
    scores[5:, 0] = np.linspace(0.1, 0.9, 5)
    with_scores = timeline_strip(scores, heard, NAMES, 640).astype(int)
    without = timeline_strip(heard * 1.0, heard, NAMES, 640).astype(int)
    height = (with_scores != without).any(-1).sum(0)
    height = height[height > 0]
    assert (np.diff(height) >= 0).all() and height[-1] > height[0] + 5


def test_the_height_of_a_bar_is_the_score():
    scores = np.array([[0.97], [0.44], [0.2]])
    strip = timeline_strip(scores, scores > 0.3, ["x"], 640)
    bars = (strip == palette(1)[0]).all(-1).sum(0)
    span = np.nonzero(bars)[0]
    high, low = bars[span[10]], bars[span[-10]]
    assert low / high == pytest.approx(0.44 / 0.97, abs=0.07) and high >= 16
    assert (np.diff(span) == 1).all() and set(bars[span]) == {high, low}


def test_what_sounds_is_seen_even_at_a_score_of_0():
    strip = timeline_strip(np.zeros((2, 1)), np.ones((2, 1), bool), ["x"], 640)
    assert (strip == palette(1)[0]).all(-1).any()


def test_a_column_of_several_seconds_shows_those_that_sound():
    scores = np.tile([[0.9], [0.5]], (2000, 1))
    strip = timeline_strip(scores, scores < 0.6, ["x"], 400)
    heights = (strip == palette(1)[0]).all(-1).sum(0)
    alone = timeline_strip(np.full((9, 1), 0.5), np.ones((9, 1), bool), ["x"], 400)
    assert heights.max() == (alone == palette(1)[0]).all(-1).sum(0).max()


def test_a_second_in_an_hour_is_still_seen():
    sounding = np.zeros((3600, 1), bool)
    sounding[1800] = True
    columns, _ = spans(timeline_strip(sounding * 1.0, sounding, ["x"], 400), palette(1)[0])
    assert len(columns) == 1


def test_height_adapts_to_the_rows_and_can_be_given(heard):
    few = Timeline(heard * 1.0, heard, NAMES, 640)
    all_sound = np.ones((10, 3), bool)
    assert Timeline(all_sound * 1.0, all_sound, NAMES, 640).height > few.height
    assert few.at().shape[0] == few.height
    assert timeline_strip(heard * 1.0, heard, NAMES, 640, 50).shape == (50, 640, 3)


def test_many_classes_keep_those_that_sound_longest():
    classes = Timeline.MAX_ROWS + 3
    sounding = np.arange(20)[:, None] < np.arange(1, classes + 1)[None]
    strip = timeline_strip(sounding * 1.0, sounding, [f"object {n}" for n in range(classes)], 800)
    shown = [n for n in range(classes) if len(spans(strip, palette(classes)[n])[0])]
    assert shown == list(range(3, classes))


@pytest.mark.parametrize("seconds", [0, 1, 7])
@pytest.mark.parametrize("width", [32, 320, 1280])
def test_silence_and_short_videos_have_a_strip_too(seconds, width):
    strip = timeline_strip(np.zeros((seconds, 3)), np.zeros((seconds, 3), bool), NAMES, width)
    assert strip.shape[1] == width and 10 < strip.shape[0] < 120
    assert strip.std() > 0


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match=r"\[S, 3\]"):
        timeline_strip(np.zeros((4, 2)), np.zeros((4, 2), bool), NAMES, 100)
