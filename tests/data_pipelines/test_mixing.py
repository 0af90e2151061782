"""Scene plans are balanced and fair; scenes hold what the plan says, computed by hand."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from data_pipelines import mixing

LABELS = np.repeat(np.arange(7), 12)
VIDEOS = np.array([f"v{i // 2}" for i in range(len(LABELS))])


def flat_clip(value, label=0, boxes=((0.0, 0.0, 1.0, 1.0),), side=8, level=1000):
    return mixing.Clip(
        frame=np.full((side, side, 3), value, np.uint8),
        waveform=np.full(16, level, np.int16),
        boxes=np.array(boxes, np.float32),
        labels=np.full(len(boxes), label),
    )


def test_plan_is_a_function_of_its_arguments():
    first, again = (mixing.plan_scenes(LABELS, VIDEOS, 50, seed=3) for _ in range(2))
    other = mixing.plan_scenes(LABELS, VIDEOS, 50, seed=4)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.clips, other.clips)
    assert not np.array_equal(first.gains_db, other.gains_db)


def test_plan_follows_the_recipe():
    plan = mixing.plan_scenes(LABELS, VIDEOS, 140, seed=0)
    assert plan.clips.shape == plan.sounding.shape == plan.gains_db.shape == (140, 4)
    np.testing.assert_array_equal(plan.sounding.sum(1), 2)
    for clips in plan.clips:
        assert len(set(LABELS[clips])) == 4
        assert len(set(VIDEOS[clips])) == 4
    assert np.abs(plan.gains_db).max() <= 3
    assert plan.gains_db.std() == pytest.approx(6 / np.sqrt(12), rel=0.1)


def test_plan_is_balanced_over_categories_clips_and_cells():
    plan = mixing.plan_scenes(LABELS, VIDEOS, 140, seed=0)
    appears = np.bincount(LABELS[plan.clips.ravel()], minlength=7)
    sounds = np.bincount(LABELS[plan.clips[plan.sounding]], minlength=7)
    assert np.ptp(appears) <= 1
    assert np.ptp(sounds) <= 3
    uses = np.bincount(plan.clips.ravel(), minlength=len(LABELS))
    assert np.ptp(uses) <= 2
    # 280 sounding clips over four cells: 70 each, standard deviation 6.
    assert np.abs(plan.sounding.sum(0) - 70).max() < 25
    pairs = Counter(tuple(sorted(LABELS[c[s]])) for c, s in zip(*plan[:2], strict=True))
    assert len(pairs) == 7 * 6 // 2


@pytest.mark.parametrize("labels", [None, np.full(len(VIDEOS), -1)])
def test_plan_without_labels_takes_different_videos(labels):
    plan = mixing.plan_scenes(labels, VIDEOS, 63, seed=1)
    for clips in plan.clips:
        assert len(set(VIDEOS[clips])) == 4
    names = Counter(VIDEOS[plan.clips.ravel()])
    assert len(names) == 42
    assert max(names.values()) - min(names.values()) <= 1


def test_plan_leaves_out_clips_without_label_and_shared_videos():
    labels = np.where(np.arange(len(LABELS)) % 3 == 0, -1, LABELS)
    plan = mixing.plan_scenes(labels, VIDEOS, 30, seed=0)
    assert (labels[plan.clips] >= 0).all()
    # Categories 0 and 1 only ever come from video "a", so no scene has both.
    shared = np.where(LABELS < 2, "a", VIDEOS)
    plan = mixing.plan_scenes(LABELS, shared, 60, seed=0)
    for clips in plan.clips:
        assert len(set(shared[clips])) == 4
    assert np.isin([0, 1], LABELS[plan.clips]).all()


def test_plan_of_another_grid():
    plan = mixing.plan_scenes(LABELS, VIDEOS, 20, seed=0, grid=(2, 3), sounding=3, jitter_db=0.0)
    assert plan.clips.shape == (20, 6)
    np.testing.assert_array_equal(plan.sounding.sum(1), 3)
    np.testing.assert_array_equal(plan.gains_db, 0)


@pytest.mark.parametrize(
    ("labels", "videos", "options", "message"),
    [
        ([0, 0, 1, 2], "abcd", {}, "3 categories"),
        (None, "aabc", {}, "3 videos"),
        ([0, 1, 2, 3], "aabc", {}, "a video of its own"),
        ([0, 1, 2, 3, 3], "aabcd", {}, "share their videos"),
        ([0, 1, 2], "abcd", {}, "3 labels do not fit 4 clips"),
        ([0, 1, 2, 3], "abcd", {"sounding": 5}, "sounding"),
        ([0, 1, 2, 3], "abcd", {"sounding": 0}, "sounding"),
    ],
)
def test_plan_refuses(labels, videos, options, message):
    with pytest.raises(ValueError, match=message):
        mixing.plan_scenes(labels, list(videos), 3, seed=0, **options)


def test_compose_by_hand():
    clips = [
        flat_clip(10, label=5, boxes=[(0.25, 0.5, 0.75, 1.0)], level=1000),
        flat_clip(20, label=6, boxes=[(0, 0, 0, 0)], level=2000),
        flat_clip(30, label=7, boxes=[(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)], level=4000),
        flat_clip(40, label=-1, level=8000),
    ]
    sounding = np.array([True, False, True, False])
    gains = np.array([0.0, 3.0, 20 * np.log10(0.5), -3.0])
    scene = mixing.compose(clips, sounding, gains)
    assert scene.frame.shape == (8, 8, 3)
    np.testing.assert_array_equal(scene.frame[:4, :4], 10)
    np.testing.assert_array_equal(scene.frame[:4, 4:], 20)
    np.testing.assert_array_equal(scene.frame[4:, :4], 30)
    np.testing.assert_array_equal(scene.frame[4:, 4:], 40)
    np.testing.assert_allclose(
        scene.boxes,
        [
            [0.125, 0.25, 0.375, 0.5],
            [0, 0.5, 0.5, 1],
            [0.5, 0, 0.75, 0.25],
            [0.75, 0.25, 1, 0.5],
            [0.5, 0.5, 1, 1],
        ],
    )
    np.testing.assert_array_equal(scene.labels, [5, 6, 7, 7, -1])
    np.testing.assert_array_equal(scene.sounding, [True, False, True, True, False])
    np.testing.assert_array_equal(scene.waveform, (1000 + 0.5 * 4000) / 2)
    assert scene.waveform.dtype == np.int16


def test_mixture_is_turned_down_not_clipped():
    loud = [flat_clip(0, level=level) for level in (30000, -32768, 0, 0)]
    loud[0].waveform[8:] = -15000
    scene = mixing.compose(loud, np.array([1, 0, 0, 0], bool), np.full(4, 6.0))
    np.testing.assert_array_equal(scene.waveform[:8], 32767)
    np.testing.assert_array_equal(scene.waveform[8:], np.round(-32767 / 2))


def test_boxes_follow_the_pixels_of_cells_of_unequal_size():
    clips = [flat_clip(0, side=30) for _ in range(6)]
    clips[4].frame[:, :] = 200
    scene = mixing.compose(clips, np.ones(6, bool), np.zeros(6), grid=(2, 3), size=25)
    rows, columns = np.nonzero(scene.frame[..., 0])
    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(scene.boxes[4] * 25, edges, atol=1e-5)


def test_compose_refuses():
    clips = [flat_clip(0) for _ in range(4)]
    with pytest.raises(ValueError, match="takes 4 clips, not 3"):
        mixing.compose(clips[:3], np.ones(3, bool), np.zeros(3))
    with pytest.raises(ValueError, match="sounding"):
        mixing.compose(clips, np.zeros(4, bool), np.zeros(4))


def test_scenes_are_made_one_by_one_in_the_stored_layout():
    asked = []

    def get_clip(place):
        asked.append(place)
        return flat_clip(place, label=LABELS[place])

    plan = mixing.plan_scenes(LABELS, VIDEOS, 3, seed=0)
    made = mixing.scenes(plan, get_clip, prefix="party", size=16)
    assert asked == []
    example = next(made)
    assert asked == plan.clips[0].tolist()
    assert example["id"] == example["video"] == "party_00000"
    assert [o["label"] for o in example["objects"]] == LABELS[plan.clips[0]].tolist()
    assert [o["sounding"] for o in example["objects"]] == plan.sounding[0].tolist()
    frame = np.asarray(Image.open(io.BytesIO(example["frames"][0].getvalue())))
    assert frame.shape == (16, 16, 3)
    np.testing.assert_allclose(frame[4::8, 4::8, 0].ravel(), plan.clips[0], atol=3)
    assert len(list(made)) == 2
