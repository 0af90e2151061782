"""The bootstrap over videos."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from avloc.evaluation.bootstrap import interval, mean
from avloc.evaluation.metrics import auroc


def resampled(groups, statistic, draws=800, seed=1):
    """The plain bootstrap: draw groups, put their items together, look."""
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    places = {name: np.flatnonzero(groups == name) for name in names}
    found = []
    for _ in range(draws):
        drawn = rng.choice(names, len(names))
        found.append(statistic(np.concatenate([places[name] for name in drawn])))
    return np.quantile(found, [0.025, 0.975])


def test_value_is_the_mean_over_items_not_over_groups():
    assert interval(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])).value == 0.75


def test_interval_agrees_with_plain_resampling():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 200)
    values = rng.random(200) + 0.1 * groups
    found = interval(values, groups, draws=4000)
    low, high = resampled(groups, lambda at: values[at].mean())
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_several_arrays():
    rng = np.random.default_rng(0)
    groups, positive = rng.integers(0, 20, 150), rng.random(150) < 0.5
    scores = rng.random(150) + 0.4 * positive
    found = interval((scores, positive), groups, auroc, draws=4000)
    low, high = resampled(groups, lambda at: roc_auc_score(positive[at], scores[at]))
    assert found.value == pytest.approx(roc_auc_score(positive, scores))
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_items_of_one_video_are_not_independent():
    values = np.repeat(np.random.default_rng(0).random(10), 50)
    by_video = interval(values, np.repeat(np.arange(10), 50))
    by_item = interval(values, np.arange(500))
    assert by_video.high - by_video.low > 3 * (by_item.high - by_item.low)


def test_the_seed_decides():
    values, groups = np.random.default_rng(0).random(30), np.arange(30)
    assert interval(values, groups, seed=3) == interval(values, groups, seed=3)
    assert interval(values, groups, seed=3) != interval(values, groups, seed=4)


def test_memory_is_bounded_without_changing_the_result(monkeypatch):
    values, groups = np.random.default_rng(0).random(40), np.arange(40) // 2
    whole = interval(values, groups)
    monkeypatch.setattr("avloc.evaluation.bootstrap._BUDGET", 70)
    np.testing.assert_allclose(interval(values, groups), whole)


def test_one_video_gives_a_value_and_no_interval():
    found = interval(np.array([0.0, 1.0]), np.array([7, 7]))
    assert found.value == 0.5
    assert np.isnan(found.low) and np.isnan(found.high)


def test_draws_without_a_value_are_left_out():
    # One positive and one negative video: half of the draws hold one side only.
    found = interval((np.array([1.0, 0.0]), np.array([True, False])), np.arange(2), auroc)
    assert found == (1.0, 1.0, 1.0)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="a group for each item"):
        interval(np.ones(3), np.zeros(2))
    with pytest.raises(ValueError, match="a group for each item"):
        interval(np.ones(0), np.zeros(0))


def test_centred_interval_is_moved_by_the_bias_of_the_draws():
    rng = np.random.default_rng(0)
    values, groups = rng.random(40), np.arange(40)

    def squared_mean(values, weights):  # grows under resampling, by the variance of the mean
        return mean(values, weights) ** 2

    plain = interval(values, groups, squared_mean)
    centred = interval(values, groups, squared_mean, centred=True)
    assert centred.value == plain.value
    assert centred.low < plain.low
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)
    assert centred.low <= centred.value <= centred.high


def test_centred_interval_of_a_share_stays_a_share_and_holds_its_value():
    """A draw that loses the hard group is higher than the whole."""

    def without_bias(values, weights):
        return np.where(weights[..., 0] > 0, mean(values, weights), 1.0)

    values = np.array([0.0, *[1.0] * 9])
    found = interval(values, np.arange(10), without_bias, centred=True)
    assert 0 <= found.low < found.value == 0.9 < found.high <= 1
    # One draw in a thousand differs: quantiles see nothing of it, the mean does.
    rare = interval(
        values, np.arange(10), lambda v, weights: (weights[..., 0] > 5) * 1.0, centred=True
    )
    assert rare.low <= rare.value <= rare.high
    same = interval(np.full(10, 0.1), np.arange(10), centred=True)
    assert same.low <= same.value <= same.high
