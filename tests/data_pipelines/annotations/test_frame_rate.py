"""The frame rate that an annotation file counts at, from seconds and frame numbers."""

from fractions import Fraction

import pytest

from avloc.data_pipelines.annotations.frame_rate import feasible_rates, fit_rate


def frames_at(rate, numbers):
    return [(int(number / rate), number) for number in numbers]


def test_bounds_by_hand():
    # Frame 7 in second 0: rate > 7. Frame 51 in second 1: 25.5 < rate <= 51.
    assert feasible_rates([(0, 7), (1, 51)]) == (Fraction(51, 2), Fraction(51))


@pytest.mark.parametrize("seconds", [3, 40])
def test_bounds_agree_with_a_search(seconds):
    frames = frames_at(Fraction(30000, 1001), range(0, 30 * seconds, 7))
    low, high = feasible_rates(frames)
    for rate in (Fraction(n, 100) for n in range(2800, 3200)):
        fits = all(s <= n / rate < s + 1 for s, n in frames)
        assert fits == (low < rate <= high), rate


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, 15])
def test_whole_rates_are_found(rate):
    assert fit_rate(frames_at(Fraction(rate), range(0, rate * 60, 5))) == rate


@pytest.mark.parametrize("rate", [30000, 24000])
def test_rates_of_television_are_found_in_long_videos(rate):
    assert fit_rate(frames_at(Fraction(rate, 1001), range(0, 6000, 5))) == Fraction(rate, 1001)


def test_a_rate_without_a_name_is_met_by_the_middle():
    rate = Fraction(1347, 50)
    found = fit_rate(frames_at(rate, range(3000)))
    assert found is not None
    assert abs(found / rate - 1) < 1e-3


def test_whole_rates_lead_where_several_fit():
    # One second decides nothing between 30, 25 and 29.97.
    assert fit_rate([(0, 0), (0, 7), (0, 21)]) == 30


def test_frames_that_fit_no_rate():
    assert fit_rate([(1, 30), (2, 30)]) is None
    assert fit_rate([(1, 0)]) is None
