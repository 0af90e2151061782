import numpy as np
import pytest
from scipy import ndimage

from avloc.drawing.regions import CONTRAST
from avloc.drawing.rendering import draw, palette, upsample
from avloc.drawing.tags import font_size

# Machado, Oliveira and Fernandes 2009, severity 1: what eyes without one kind of cone see.
EYES = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
NAMES = ("cello", "drum", "flute")


def cielab(linear):
    to_xyz = np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    xyz = linear @ to_xyz / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness, red, blue = 116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])
    return np.stack([lightness, red, blue], axis=1)


def blob(height, width, y, x, sigma):
    """A Gaussian of height 1; `sigma` in cells."""
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


@pytest.fixture
def maps():
    """A blob at the left, one at the right, and one in the middle."""
    places = ((60, 40), (60, 150), (20, 95))
    return np.stack([blob(120, 190, y, x, 12) for y, x in places], axis=-1)


@pytest.fixture
def grey():
    return np.full((120, 190, 3), 128, np.uint8)


@pytest.mark.parametrize("eyes", EYES)
def test_the_fixed_colours_differ_to_all_eyes(eyes):
    colours = palette(8) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lab = cielab(np.clip(linear @ np.array(EYES[eyes]).T, 0, 1))
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distance[~np.eye(8, dtype=bool)].min() > 25


def test_palette_goes_on_without_changing_or_repeating():
    colours = palette(60)
    assert colours.shape == (60, 3) and colours.dtype == np.uint8
    assert len({tuple(c) for c in colours.tolist()}) == 60
    np.testing.assert_array_equal(colours[:3], palette(3))
    np.testing.assert_array_equal(colours[:30], palette(30))
    assert palette(0).shape == (0, 3)


def test_upsample_is_bilinear_between_cell_centres():
    map = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    rows = (np.arange(40) + 0.5) * 5 / 40 - 0.5
    columns = (np.arange(63) + 0.5) * 7 / 63 - 0.5
    expected = ndimage.map_coordinates(
        map, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    np.testing.assert_allclose(upsample(map, (40, 63)), expected, atol=1e-5)


def test_only_sounding_regions_change(grey, maps):
    before = grey.copy()
    drawn = draw(grey, maps, NAMES, sounding=np.array([True, False, False]))
    np.testing.assert_array_equal(grey, before)
    assert drawn.shape == grey.shape and drawn.dtype == np.uint8
    assert (drawn[:, 100:] == grey[:, 100:]).all()
    tint = drawn[60, 40].astype(int) - 128
    towards = palette(3)[0].astype(int) - 128
    np.testing.assert_allclose(tint, 0.6 * towards, atol=2)  # 0.6: the strongest tint


@pytest.mark.parametrize("sounding", [np.zeros(3, bool), np.zeros(3)])
def test_silence_leaves_the_image(grey, maps, sounding):
    np.testing.assert_array_equal(draw(grey, maps, NAMES, sounding=sounding), grey)
    np.testing.assert_array_equal(draw(grey, np.zeros((7, 7, 3)), NAMES), grey)


def test_low_maps_are_shown_as_their_share_of_the_maximum(grey, maps):
    np.testing.assert_allclose(
        draw(grey, maps * 0.01, NAMES).astype(int), draw(grey, maps, NAMES), atol=2
    )


def test_half_strength_tints_half(grey, maps):
    full = draw(grey, maps, NAMES)[60, 40].astype(int) - 128
    half = draw(grey, maps, NAMES, sounding=np.array([0.5, 1, 1]))[60, 40].astype(int) - 128
    np.testing.assert_allclose(half, full / 2, atol=2)


def test_outline_runs_where_the_map_is_half_way_to_its_peak():
    image = np.full((240, 320, 3), 90, np.uint8)
    map = blob(240, 320, 150, 120, 40)[..., None]
    drawn = draw(image, map, ["x"])
    outline = np.abs(drawn.astype(int) - palette(1)[0]).max(-1) <= 15
    rows, columns = np.nonzero(outline)
    below = rows > 140  # away from the label
    radius = np.hypot(rows - 150, columns - 120)[below]
    expected = 40 * np.sqrt(2 * np.log(1 / CONTRAST))
    assert below.sum() > 100
    np.testing.assert_allclose(radius, expected, atol=2)
    angles = np.arctan2(rows - 150, columns - 120)[below]
    assert len(np.unique(np.round(angles, 1))) > 30  # all the way round, no gaps


def test_a_raised_background_does_not_move_the_outline(grey, maps):
    plain, raised = (draw(grey, m, NAMES).astype(int) for m in (maps, 0.7 + 0.2 * maps))
    assert (np.abs(plain - raised).max(-1) > 12).mean() < 0.01


def drawn_lines(drawn, n=1):
    """Where the colour of the first of n classes is as in an outline, not mixed."""
    return np.abs(drawn.astype(int) - palette(n)[0]).max(-1) <= 15


def test_holes_are_not_outlined_and_what_is_everywhere_is_said():
    image = np.full((240, 320, 3), 90, np.uint8)
    full = np.ones((24, 32, 1))
    holes = full - 0.9 * (blob(24, 32, 6, 8, 2) + blob(24, 32, 16, 24, 2))[..., None]
    for map in (full, holes, 0.5 + 0.001 * holes):
        drawn = draw(image, map, ["x"])
        assert not drawn_lines(drawn)[25:].any()  # below the label
        assert (drawn[25:] == image[25:]).all()
        assert (drawn[:25] != image[:25]).any()
    said, named = (
        np.nonzero((draw(image, map, ["x"]) != 90).all(-1).any(0))[0]
        for map in (full, blob(24, 32, 23, 16, 0.5)[..., None])
    )
    assert np.ptp(said) > 60 > np.ptp(named)  # "x  everywhere" is longer than "x"


def test_a_small_hole_is_filled_and_a_large_one_is_not():
    image = np.full((240, 320, 3), 90, np.uint8)
    disk = blob(120, 160, 60, 80, 60) > 0.6
    small, large = (disk & (blob(120, 160, 60, 80, sigma) < 0.5) for sigma in (8, 35))
    middle = (120, 160)
    assert (draw(image, small[..., None], ["x"])[middle] != 90).any()
    assert (draw(image, large[..., None], ["x"])[middle] == 90).all()
    around = np.hypot(*(np.mgrid[:240, :320] - np.array(middle).reshape(2, 1, 1))) < 40
    assert not drawn_lines(draw(image, small[..., None], ["x"]))[around].any()


def test_outlines_are_closed_at_the_edge_of_the_picture():
    image = np.full((240, 320, 3), 90, np.uint8)
    left = np.zeros((24, 32, 1))
    left[:, :16] = 1
    lines = drawn_lines(draw(image, left, ["x"]))
    for edge in (lines[:3, 5:150], lines[-3:, 5:150], lines[30:, :3].T):
        assert edge.any(0).mean() > 0.6  # the label covers some of the top
    assert not lines[:, 175:].any()
    inside = draw(image, left, ["x"])[120, 80].astype(int)
    np.testing.assert_allclose(inside, 0.4 * 90 + 0.6 * palette(1)[0], atol=3)


def test_coarse_maps_are_smooth_on_large_images():
    cells = blob(14, 14, 7, 5, 2)[..., None]
    drawn = draw(np.zeros((720, 1280, 3), np.uint8), cells, ["x"]).astype(int)
    inside = drawn[390, 420:600]  # a row inside the outline, below its label
    assert np.abs(np.diff(inside, axis=0)).max() <= 3


def test_overlapping_colours_do_not_depend_on_the_order(grey):
    same = np.repeat(blob(120, 190, 60, 95, 20)[..., None], 2, axis=-1)
    middle = draw(grey, same, ["", ""])[60, 95]
    np.testing.assert_allclose(middle, 0.4 * 128 + 0.6 * palette(2).mean(0), atol=2)


def test_labels_keep_clear_of_each_other():
    white = np.full((240, 320, 3), 255, np.uint8)
    one = np.repeat(blob(24, 32, 12, 16, 3)[..., None], 2, axis=-1)

    def label_pixels(sounding):
        drawn = draw(white, one, ["accordion", "accordion"], sounding=np.array(sounding))
        return (drawn.max(-1) < 85).sum()

    alone = label_pixels([True, False])
    assert alone > 300
    assert label_pixels([True, True]) == pytest.approx(2 * alone, rel=0.2)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 31), (23, 0), (23, 31)])
def test_labels_stay_inside(y, x):
    image = np.full((240, 320, 3), 255, np.uint8)
    drawn = draw(image, blob(24, 32, y, x, 2)[..., None], ["a long name"], scores=np.array([0.5]))
    dark = np.abs(drawn.astype(int) - (65, 66, 70)).max(-1) < 8
    rows, columns = np.nonzero(dark)
    expected = font_size(240, 320) * 1.55
    assert abs(rows.max() - rows.min() + 1 - expected) < 6  # the whole height of a label is there
    assert columns.max() - columns.min() > 60


def test_scores_are_written(grey, maps):
    without, with_scores = (draw(grey, maps, NAMES, scores=s) for s in (None, np.ones(3)))
    assert (without != with_scores).any()


def test_boxes_and_truth_are_drawn_at_their_place(grey):
    nothing = np.zeros((4, 4, 1))
    map = nothing.copy()
    map[0, 0] = 1
    truth = np.array([[0.5, 0.5, 1.0, 1.0], [0, 0, 0, 0]])
    drawn = draw(grey, nothing, ["x"], truth=truth)
    changed = np.nonzero((drawn != grey).any(-1))
    assert changed[0].min() == pytest.approx(60, abs=1) and changed[0].max() == 119
    assert changed[1].min() == pytest.approx(95, abs=1) and changed[1].max() == 189
    assert (drawn == 255).all(-1).sum() > 100  # dashes in white

    boxed = draw(grey, map, ["x"], boxes=[np.array([[0.5, 0.5, 1.0, 1.0]])])
    frame = np.abs(boxed[60:, 95:].astype(int) - palette(1)[0]).max(-1) == 0
    assert frame[:, 0].all() and frame[0].all() and not frame[10:-10, 10:-10].any()


@pytest.mark.parametrize("size", [(16, 16), (96, 96), (240, 320), (321, 161), (720, 1280)])
def test_any_size_and_any_number_of_classes(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    maps = np.random.default_rng(1).random((3, 5, 20))
    drawn = draw(image, maps, [f"object {i}" for i in range(20)], scores=np.ones(20))
    assert drawn.shape == image.shape and (drawn != image).any()


def test_bad_input_is_named(grey, maps):
    with pytest.raises(ValueError, match="uint8"):
        draw(grey / 255, maps, NAMES)
    with pytest.raises(ValueError, match="one per name"):
        draw(grey, maps, NAMES[:2])
