"""Windows of a long sound, joined."""

import numpy as np
import pytest

from avloc.separation.overlap import apart


def joined(sound, cuts, window, separate):
    pieces = np.split(sound, cuts)
    heard, parts = zip(*apart(pieces, window, separate), strict=True)
    return np.concatenate(heard), np.concatenate(parts, axis=1)


@pytest.mark.parametrize("length", [1, 7, 10, 11, 20, 21, 34, 100])
@pytest.mark.parametrize("cuts", [(), (3, 5, 50), (10, 20, 30)])
def test_parts_that_add_up_in_a_window_add_up_everywhere(length, cuts):
    sound = np.random.default_rng(0).normal(size=length).astype(np.float32)

    def separate(block, place):
        """Another share in each window."""
        share = np.random.default_rng(place).random()
        return np.stack([share * block, (1 - share) * block])

    heard, parts = joined(sound, [c for c in cuts if c < length], 20, separate)
    np.testing.assert_array_equal(heard, sound)
    assert parts.shape == (2, length)
    np.testing.assert_allclose(parts.sum(0), sound, atol=1e-6)


def test_windows_that_disagree_meet_without_a_click():
    """A constant taken for 0 in one window and for 1 in the next has no step at their seams."""
    ones = np.ones(400, np.float32)
    _, parts = joined(ones, (), 100, lambda block, place: block[None] * (place // 50 % 2))
    # A fade over 50 samples changes by at most pi / 100 a sample.
    assert np.abs(np.diff(parts[0])).max() <= np.pi / 100 + 1e-6
    assert parts[0].max() > 0.99 and parts[0].min() < 0.01


def test_places_and_the_silence_behind():
    seen = []

    def separate(block, place):
        seen.append((place, block.tolist()))
        return block[None]

    joined(np.arange(1, 8, dtype=np.float32), (), 4, separate)
    assert seen == [(0, [1, 2, 3, 4]), (2, [3, 4, 5, 6]), (4, [5, 6, 7, 0])]


def test_an_odd_window_is_refused():
    with pytest.raises(ValueError, match="even number of samples, not 5"):
        list(apart([np.ones(3)], 5, lambda block, place: block[None]))
