"""Intervals over videos: worked out by hand, and their coverage in simulations."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import binomtest, t

from avloc.evaluation.bootstrap import interval, mean
from avloc.evaluation.clusters import nmi_by_chance, weighted_nmi
from avloc.evaluation.metrics import auroc
from avloc.evaluation.perception import mean_average_precision
from tests.evaluation import populations


def test_value_is_the_mean_over_items_not_over_groups():
    assert interval(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])).value == 0.75


def test_independent_items_get_wilsons_interval():
    values, groups = np.r_[np.ones(120), np.zeros(280)], np.arange(400)
    found = interval(values, groups)
    wilson = binomtest(120, 400).proportion_ci(method="wilson")
    assert found.value == 0.3
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-3)


def test_many_videos_get_the_plain_t_interval_of_their_means():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 5)
    values = rng.beta(4, 4, 400)[groups] * rng.beta(6, 2, 2000)
    means = values.reshape(400, 5).mean(1)
    half = t.ppf(0.975, 399) * means.std(ddof=1) / 20
    found = interval(values, groups)
    middle = means.mean()
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=5e-4)


def test_what_no_video_shows_may_still_be_there():
    """Every video counts as one item: Wilson's end for none of five, at the t quantile."""
    none = interval(np.zeros(120), np.repeat(np.arange(6), 20))
    wide = t.ppf(0.975, 5) ** 2 / 5
    assert none.low == 0
    assert none.high == pytest.approx(wide / (1 + wide))
    every = interval(np.ones(120), np.repeat(np.arange(6), 20))
    assert (every.low, every.high) == pytest.approx((1 - none.high, 1))


def test_bounds_are_those_of_the_score():
    values, groups = np.full(30, 2.5), np.arange(30)
    at_least = interval(values, groups, bounds=(2.5, 100))
    assert at_least.low == 2.5 < at_least.high < 20
    rescaled = interval(np.zeros(30), groups)
    assert at_least.high == pytest.approx(2.5 + 97.5 * rescaled.high)
    with pytest.raises(ValueError, match=r"2.5 to 2.5 are not within the bounds \(0.0, 1.0\)"):
        interval(values, groups)


def test_jackknife_agrees_with_the_t_interval_of_a_mean():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 3)
    values = np.repeat(rng.beta(3, 3, 60), 3)
    by_mean = interval(values, groups)
    found = interval(values, groups, lambda values, weights: mean(values, weights))
    assert found.value == by_mean.value
    assert (found.low, found.high) == pytest.approx((by_mean.low, by_mean.high), abs=0.01)


def test_more_videos_than_draws_are_left_out_in_parts():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(600), 2)
    positive = rng.random(1200) < 0.5
    scores = rng.normal(size=1200) + positive
    one_by_one = interval((scores, positive), groups, auroc, draws=600)
    in_parts = interval((scores, positive), groups, auroc, draws=100)
    assert in_parts.value == one_by_one.value
    assert in_parts.low == pytest.approx(one_by_one.low, abs=0.01)
    assert in_parts.high == pytest.approx(one_by_one.high, abs=0.01)
    assert in_parts != interval((scores, positive), groups, auroc, draws=100, seed=1)
    assert in_parts == interval((scores, positive), groups, auroc, draws=100, seed=0)


def test_items_of_one_video_are_not_independent():
    values = np.repeat(np.random.default_rng(0).random(10), 50)
    by_video = interval(values, np.repeat(np.arange(10), 50))
    by_item = interval(values, np.arange(500))
    assert by_video.high - by_video.low > 3 * (by_item.high - by_item.low)


def test_memory_is_bounded_without_changing_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    sides, groups = (rng.random(40), rng.random(40) < 0.5), np.arange(40) // 2
    whole = interval(sides, groups, auroc)
    monkeypatch.setattr("avloc.evaluation.bootstrap._BUDGET", 70)
    np.testing.assert_allclose(interval(sides, groups, auroc), whole)


def test_one_video_gives_a_value_and_no_interval():
    found = interval(np.array([0.0, 1.0]), np.array([7, 7]))
    assert found.value == 0.5
    assert np.isnan(found.low) and np.isnan(found.high)


def test_a_value_that_hangs_on_each_video_has_no_interval():
    # One positive and one negative video: without either there is no value.
    found = interval((np.array([1.0, 0.0]), np.array([True, False])), np.arange(2), auroc)
    assert found.value == 1
    assert np.isnan(found.low) and np.isnan(found.high)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="a group for each item"):
        interval(np.ones(3), np.zeros(2))
    with pytest.raises(ValueError, match="a group for each item"):
        interval(np.ones(0), np.zeros(0))


def test_a_biased_statistic_gets_an_interval_that_reaches_below_it():
    rng = np.random.default_rng(0)
    values, groups = rng.random(12), np.arange(12)

    def square(values, weights):
        return mean(values, weights) ** 2

    found = interval(values, groups, square)
    unbiased = 12 * found.value - 11 * np.mean(
        [np.delete(values, i).mean() ** 2 for i in range(12)]
    )
    assert unbiased < found.value
    assert found.low < unbiased < found.value < found.high


def test_nmi_of_as_many_kinds_as_videos_says_nothing():
    labels = np.repeat(np.arange(6), 3)
    found = interval((labels, labels), labels, weighted_nmi, chance=nmi_by_chance)
    assert found.value == 1
    assert np.isnan(found.low) and np.isnan(found.high)


COVERED = {6: 0.90, 27: 0.93}


@pytest.mark.parametrize("videos", COVERED)
@pytest.mark.parametrize("rate", [0.5, 0.1, 0.03])
def test_coverage_of_rates(videos, rate):
    made = populations.rates(videos, rate, alike=0.3)
    assert populations.coverage(made, rate, interval, 250) >= COVERED[videos]


@pytest.mark.parametrize("videos", COVERED)
def test_coverage_of_a_mean(videos):
    made, truth = populations.means(videos)
    assert populations.coverage(made, truth, interval, 250) >= COVERED[videos]


@pytest.mark.parametrize("videos", COVERED)
def test_coverage_of_map(videos):
    made, truth = populations.mixtures(videos, kinds=7)
    run = partial(interval, statistic=mean_average_precision)
    assert populations.coverage(made, truth, run, 100) >= COVERED[videos]


@pytest.mark.parametrize("videos", COVERED)
def test_coverage_of_nmi(videos):
    made, truth = populations.clustered(videos, kinds=7)
    run = partial(interval, statistic=weighted_nmi, chance=nmi_by_chance, draws=50)
    assert populations.coverage(made, truth, run, 100) >= COVERED[videos]
