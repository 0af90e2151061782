import numpy as np
import pytest

from avloc.drawing.regions import EVERYWHERE, levels, region


def square(low, high, side=20, part=6):
    """A square of `part` x `part` in the corner of one of `side` x `side`."""
    map = np.full((side, side), low)
    map[:part, :part] = high
    return map


@pytest.mark.parametrize(
    ("low", "high", "background", "level"),
    [(0.0, 1.0, 0.0, 0.5), (0.6, 0.8, 0.6, 0.7), (-0.2, 0.6, -0.2, 0.2)],
)
def test_the_level_is_half_way_from_the_background_to_the_peak(low, high, background, level):
    np.testing.assert_allclose(levels(square(low, high)), (background, level))


def test_the_background_does_not_follow_a_few_low_cells():
    map = square(0.5, 0.9)
    map[-1, -3:] = 0.0
    np.testing.assert_allclose(levels(map), (0.5, 0.7))


@pytest.mark.parametrize(("share", "everywhere"), [(0.7, False), (0.78, False), (0.83, True)])
def test_a_region_over_the_share_is_everywhere(share, everywhere):
    high = (np.arange(400) < share * 400).reshape(20, 20)
    found = region(np.where(high, 0.9, 0.1))
    assert found.everywhere == everywhere == (share > EVERYWHERE)
    np.testing.assert_array_equal(found.inside, high)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_flat_map_is_everywhere(noise):
    assert region(0.5 + noise * np.random.default_rng(0).random((9, 9))).everywhere


def test_holes_are_filled_up_to_a_tenth_of_the_region():
    map = np.zeros((30, 30))
    map[5:25, 5:25] = 1  # 400
    map[10:16, 10:16] = 0  # a hole of 36 in the 364 that are left
    assert region(map).inside[12, 12]
    map[10:17, 10:17] = 0  # of 49 in 351
    assert not region(map).inside[12, 12]


def test_what_reaches_the_edge_of_the_frame_is_no_hole():
    map = np.ones((30, 30))
    map[:, 20:] = 0
    map[0:4, 3:6] = 0  # a bay
    found = region(map)
    assert not found.inside[1, 4] and not found.everywhere


def test_specks_do_not_count():
    map = np.zeros((30, 30))
    map[2:12, 2:12] = 1  # 100
    map[20:23, 20:23] = 0.9  # 9
    assert not region(map).inside[21, 21]
    map[20:24, 20:24] = 0.9  # 16
    assert region(map).inside[21, 21]
    assert not region(map, cell=40.0).inside[21, 21]  # less than half a cell
