"""Scenes of two and three kinds."""

from collections import Counter

import numpy as np
import pytest

from avloc.data_pipelines.scenes.few_kinds import plan_mixed
from avloc.data_pipelines.scenes.plan import SYNTHETIC, plan_scenes

VIDEOS = np.arange(24) // 2  # two clips a video


def test_four_kinds_are_planned_as_always():
    kinds = np.arange(24) // 6
    ours = plan_mixed(kinds, VIDEOS, 9, seed=3)
    theirs = plan_scenes(kinds, VIDEOS, 9, SYNTHETIC, seed=3)
    np.testing.assert_array_equal(ours.clips, theirs.clips)
    np.testing.assert_array_equal(ours.sounding, theirs.sounding)


@pytest.mark.parametrize(("there", "heard"), [(2, 1), (3, 2)])
def test_what_is_heard_is_seen_once_and_the_silent_kind_fills_the_rest(there, heard):
    kinds = np.arange(24) // (24 // there)
    plan = plan_mixed(kinds, VIDEOS, 60, seed=0)
    assert plan.clips.shape == (60, 4) and plan.recipe.grid == (2, 2)
    assert (plan.recipe.sounding, plan.recipe.silent) == (heard, 4 - heard)
    silent_kinds, cells = Counter(), np.zeros(4)
    for clips, sounding in zip(plan.clips, plan.sounding, strict=True):
        assert sounding.sum() == heard and len(set(kinds[clips[sounding]])) == heard
        (silent,) = set(kinds[clips[~sounding]])
        assert silent not in kinds[clips[sounding]]
        assert len(set(VIDEOS[clips])) == 4  # there are videos enough
        silent_kinds[int(silent)] += 1
        cells += sounding
    assert max(silent_kinds.values()) - min(silent_kinds.values()) <= 3
    assert cells.min() > 0.5 * cells.mean()  # in no place more than in another
    assert np.abs(plan.gains_db).max() <= SYNTHETIC.gain_db


def test_one_video_a_kind_is_enough():
    plan = plan_mixed(np.array([0, 0, 1]), np.array([0, 0, 1]), 8, seed=0)
    for clips, sounding in zip(plan.clips, plan.sounding, strict=True):
        shown = Counter(clips.tolist())
        if 2 in clips[sounding]:
            assert set(shown) == {0, 1, 2}  # both clips of the silent video
        else:
            assert shown[2] == 3
    again = plan_mixed(np.array([0, 0, 1]), np.array([0, 0, 1]), 8, seed=0)
    np.testing.assert_array_equal(plan.clips, again.clips)


def test_one_kind_is_refused():
    with pytest.raises(ValueError, match="needs clips of 2 different categories"):
        plan_mixed(np.zeros(4, int), np.arange(4), 2, seed=0)
