import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines.media.image import (
    boxes_in_crop,
    evaluation_view,
    normalize,
    training_view,
    view_in_proportion,
)


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """A frame whose red grows to the right and green downwards."""
    y, x = np.mgrid[0:96, 0:128]
    return np.stack([x * 2, y * 2, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def views(frame, number, **kwargs):
    return [training_view(frame, 64, np.random.default_rng(i), **kwargs) for i in range(number)]


def test_training_view_is_fixed_by_the_generator(frame):
    first = training_view(frame, 64, np.random.default_rng(3), zoom_out=0.5)
    again = training_view(frame, 64, np.random.default_rng(3), zoom_out=0.5)
    other = training_view(frame, 64, np.random.default_rng(4), zoom_out=0.5)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_training_view_leaves_the_frame_alone(frame):
    before = frame.copy()
    views(frame, 5, zoom_out=1.0)
    np.testing.assert_array_equal(frame, before)


def test_about_half_the_views_are_flipped(frame):
    flipped = [view[:, -1, 0].mean() < view[:, 0, 0].mean() for view in views(frame, 200)]
    assert 70 < sum(flipped) < 130


def test_crop_is_seven_eighths_of_the_frame_anywhere_in_it(frame):
    starts = []
    for i in range(200):
        view = training_view(frame, 112, np.random.default_rng(i)).astype(float)
        # Green over blue is free of brightness; colour moves both towards the same grey.
        slope = np.polyfit(np.arange(112), view[:, 20:90, 1].mean(axis=1), 1)[0]
        blue = np.polyfit(np.arange(112), view[:, 20:90, 2].mean(axis=1), 1)[0]
        starts.append((view[0, :, 1] - view[0, :, 2]).mean() / (slope - blue))
    # Green equals blue on row 45 of 96: rows of the view above it, at 84 / 112 rows a pixel.
    top = 45 + np.array(starts) * 84 / 112
    assert -1 < top.min() < 2 and 10 < top.max() < 13


def test_brightness_and_colour_factors_span_their_range():
    flat = np.full((32, 32, 3), (120, 80, 40), np.uint8)
    grey = 0.299 * 120 + 0.587 * 80 + 0.114 * 40
    colours = np.array([view[0, 0] for view in views(flat, 300)], float)
    luma = colours @ [0.299, 0.587, 0.114]
    brightness = luma / grey
    colour = (colours[:, 0] - colours[:, 2]) / (brightness * 80)
    for factor in (brightness, colour):
        assert 0.68 < factor.min() < 0.73 and 1.27 < factor.max() < 1.32
        assert abs(factor.mean() - 1) < 0.04
    assert abs(np.corrcoef(brightness, colour)[0, 1]) < 0.2


def test_zoomed_out_view_lies_on_a_canvas_at_the_stated_scale():
    white = np.full((64, 64, 3), 255, np.uint8)
    sides, places = [], []
    for view in views(white, 150, zoom_out=1.0):
        # A white frame stays one grey, and the noise is almost nowhere of that grey.
        values, counts = np.unique(view.reshape(-1, 3), axis=0, return_counts=True)
        pasted = (view == values[counts.argmax()]).all(axis=-1)
        rows = np.flatnonzero(pasted.mean(axis=1) > 0.3)
        columns = np.flatnonzero(pasted.mean(axis=0) > 0.3)
        assert (
            len(rows) == len(columns) and pasted[rows[0] : rows[-1], columns[0] : columns[-1]].all()
        )
        sides.append(len(rows) / 64)
        places.append((rows[0], columns[0]))
    assert 0.38 < min(sides) < 0.45 and 0.70 < max(sides) < 0.77
    assert np.max(places) > 30 and np.min(places) == 0


def test_zoom_out_is_as_probable_as_asked():
    white = np.full((64, 64, 3), 255, np.uint8)
    zoomed = [len(np.unique(view.reshape(-1, 3), axis=0)) > 1 for view in views(white, 200)]
    assert not any(zoomed)
    zoomed = [
        len(np.unique(view.reshape(-1, 3), axis=0)) > 1 for view in views(white, 200, zoom_out=0.3)
    ]
    assert 35 < sum(zoomed) < 85


def test_canvas_is_smooth():
    black = np.zeros((64, 64, 3), np.uint8)
    for view in views(black, 10, zoom_out=1.0):
        corner = view[:4, :4].astype(int)
        assert np.abs(np.diff(corner, axis=0)).max() < 40


def test_evaluation_view_is_the_whole_frame(frame):
    expected = np.asarray(Image.fromarray(frame).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(evaluation_view(frame, 32), expected)
    # 4 x 3 pixels a cell: the mean of neighbours, so the ramp is kept.
    middle = evaluation_view(frame, 32)[5:-5, 5:-5].astype(float)
    expected_red = (np.arange(5, 27) * 4 + 1.5) * 2
    np.testing.assert_allclose(middle[..., 0], np.tile(expected_red, (22, 1)), atol=1)
    assert evaluation_view(frame[:, :96], 96).tobytes() == frame[:, :96].tobytes()


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_bad_frames_are_named(bad):
    with pytest.raises(ValueError, match="frame"):
        evaluation_view(bad, 4)
    with pytest.raises(ValueError, match="frame"):
        training_view(bad, 4, np.random.default_rng(0))


def test_normalize_by_hand():
    images = np.array([0, 128, 255], np.uint8).reshape(1, 1, 1, 3)
    actual = normalize(images)
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(np.ravel(actual), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(normalize)(images), actual, rtol=1e-6)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 3, 8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3))]
)
def test_normalize_refuses_other_layouts(bad):
    with pytest.raises(ValueError, match="images must be"):
        normalize(bad)


def test_a_view_in_proportion():
    assert view_in_proportion((112, 112, 3), 96) == (96, 96)
    assert view_in_proportion((112, 168, 3), 96) == (96, 144)
    assert view_in_proportion((112, 224, 3), 96) == (96, 192)
    # 640 x 360 at 224 is 398.2 wide; the nearest multiple of 16 is 400.
    assert view_in_proportion((360, 640), 224) == (224, 400)
    assert view_in_proportion((640, 360), 224) == (400, 224)
    # Never narrower than the shorter side.
    assert view_in_proportion((100, 101), 90) == (90, 96)
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 20:] = 255
    view = evaluation_view(frame, (16, 32))
    assert view.shape == (16, 32, 3)
    assert view[:, :14].max() == 0 and view[:, 18:].min() == 255


def test_a_centre_crop_is_of_224_of_256():
    frame = np.zeros((256, 512, 3), np.uint8)
    frame[16:240, 32:480] = np.arange(224)[:, None, None]
    view = evaluation_view(frame, (224, 448), centre_crop=True)
    np.testing.assert_array_equal(view, frame[16:240, 32:480])  # pixel by pixel
    small = evaluation_view(
        np.pad(np.full((28, 28, 3), 9, np.uint8), ((2, 2), (2, 2), (0, 0))), 28, centre_crop=True
    )
    assert (small == 9).all() and small.shape == (28, 28, 3)
    assert evaluation_view(frame, (256, 512)) is frame


def test_boxes_follow_a_centre_crop():
    # In pixels of 256, the crop is 16 to 240.
    boxes = np.array(
        [
            [16, 16, 240, 240],  # all of it
            [72, 128, 128, 184],  # inside
            [0, 128, 128, 256],  # over its edges
            [0, 0, 16, 256],  # outside
            [0, 0, 0, 0],  # not known
        ]
    )
    found = boxes_in_crop((boxes / 256).astype(np.float32))
    expected = np.array(
        [[0, 0, 1, 1], [0.25, 0.5, 0.5, 0.75], [0, 0.5, 0.5, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
