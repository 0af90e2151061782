"""Scenes hold what their plan says, computed by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines.scenes import mixing
from avloc.data_pipelines.scenes.plan import RECIPES, plan_scenes

LABELS = np.repeat(np.arange(7), 12)
VIDEOS = np.arange(len(LABELS)) // 2


def flat_clip(value, label=0, boxes=((0.0, 0.0, 1.0, 1.0),), side=8, level=1000):
    return mixing.Clip(
        frame=np.full((side, side, 3), value, np.uint8),
        waveform=np.full(16, level, np.int16),
        boxes=np.array(boxes, np.float32),
        labels=np.full(len(boxes), label),
    )


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
    assert not scene.offscreen.any()
    np.testing.assert_array_equal(scene.waveform, (1000 + 0.5 * 4000) / 2)
    # A constant of 500 and of 1000 on a scale of 32768.
    first, third = 20 * np.log10(500 / 32768), 20 * np.log10(1000 / 32768)
    np.testing.assert_allclose(scene.level_db, [first, -np.inf, third, third, -np.inf], rtol=1e-6)
    assert scene.waveform.dtype == np.int16


def test_mixture_is_turned_down_not_clipped():
    loud = [flat_clip(0, level=level) for level in (30000, -32768, 0, 0)]
    loud[0].waveform[8:] = -15000
    scene = mixing.compose(loud, np.array([1, 0, 0, 0], bool), np.full(4, 6.0))
    np.testing.assert_array_equal(scene.waveform[:8], 32767)
    np.testing.assert_array_equal(scene.waveform[8:], np.round(-32767 / 2))
    # The level is that in the mixture: half of it at full scale, half at half of that.
    level = 10 * np.log10((32767**2 + 16383.5**2) / 2 / 32768**2)
    np.testing.assert_allclose(scene.level_db[0], level, atol=1e-5)


def test_boxes_follow_the_pixels_of_cells_of_unequal_size():
    clips = [flat_clip(0, side=30) for _ in range(6)]
    clips[4].frame[:, :] = 200
    scene = mixing.compose(clips, np.ones(6, bool), np.zeros(6), grid=(2, 3), size=(25, 40))
    rows, columns = np.nonzero(scene.frame[..., 0])
    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(scene.boxes[4] * [25, 40, 25, 40], edges, atol=1e-5)


def test_a_clip_off_screen_is_heard_and_has_no_box():
    clips = [flat_clip(10 * i, label=i, level=100 * (i + 1)) for i in range(5)]
    clips.append(flat_clip(250, label=8, boxes=[(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)], level=600))
    sounding = np.array([True, False, False, True, True, True])
    scene = mixing.compose(clips, sounding, np.array([0, 0, 0, 0, 0, 20.0]))
    assert sorted(set(scene.frame.ravel())) == [0, 10, 20, 30]
    np.testing.assert_array_equal(scene.labels, [0, 1, 2, 3, 4, 8])
    np.testing.assert_array_equal(scene.offscreen, [False] * 4 + [True] * 2)
    np.testing.assert_array_equal(scene.sounding, sounding)
    np.testing.assert_array_equal(scene.boxes[4:], 0)
    assert (scene.boxes[:4, 2:] > scene.boxes[:4, :2]).all()
    # A quarter of 100 + 400 + 500 + 10 * 600.
    np.testing.assert_array_equal(scene.waveform, 1750)
    levels = 20 * np.log10(np.array([25, 100, 125, 1500]) / 32768)
    np.testing.assert_allclose(scene.level_db[scene.sounding], levels, rtol=1e-6)
    assert scene.level_db.dtype == np.float32


def noise_clip(label, seed, level):
    noise = np.random.default_rng(seed).normal(0, level, 16000).astype(np.int16)
    return flat_clip(0, label=label)._replace(waveform=noise)


def test_equal_sources_differ_by_their_gains_alone():
    """Each source's own part is what the mixture loses when it is replaced by silence."""
    clips = [noise_clip(i, i, level) for i, level in enumerate((50, 3000, 700, 9, 1500))]
    gains = np.array([6.0, -6.0, 0.0, 2.5, -1.0])
    sounding = np.array([True, True, False, True, True])
    scene = mixing.compose(clips, sounding, gains, equal=True)
    for i in (0, 1, 3, 4):
        muted = list(clips)
        muted[i] = clips[i]._replace(waveform=np.zeros(16000, np.int16))
        rest = mixing.compose(muted, sounding, gains, equal=True)
        part = scene.waveform.astype(float) - rest.waveform
        level = 20 * np.log10(np.sqrt(np.mean((part / 32768) ** 2)))
        expected = mixing.EQUAL_RMS_DBFS + gains[i] - 20 * np.log10(4)
        assert level == pytest.approx(expected, abs=0.02)
        assert scene.level_db[i] == pytest.approx(expected, abs=1e-4)
        assert rest.level_db[i] == -np.inf


def test_compose_refuses():
    clips = [flat_clip(0) for _ in range(4)]
    with pytest.raises(ValueError, match="takes 4 clips, not 3"):
        mixing.compose(clips[:3], np.ones(3, bool), np.zeros(3))
    with pytest.raises(ValueError, match="takes 4 clips, not 4"):
        mixing.compose(clips, np.ones(4, bool), np.zeros(5))
    with pytest.raises(ValueError, match="needs at least one sounding"):
        mixing.compose([*clips, clips[0]], np.array([0, 0, 0, 0, 1], bool), np.zeros(5))
    with pytest.raises(ValueError, match="off screen must sound"):
        mixing.compose([*clips, clips[0]], np.array([1, 0, 0, 0, 0], bool), np.zeros(5))


def test_scenes_are_made_one_by_one_in_the_stored_layout():
    asked = []

    def get_clip(place):
        asked.append(place)
        return flat_clip(place, label=LABELS[place])

    plan = plan_scenes(LABELS, VIDEOS, 3, seed=0)
    made = mixing.scenes(plan, get_clip, prefix="party", size=(16, 16))
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


def test_stored_scenes_tell_what_is_off_screen_and_how_loud():
    plan = plan_scenes(LABELS, VIDEOS, 4, RECIPES["2_2_1"], seed=0)
    clips = {}

    def get_clip(place):
        return clips.setdefault(place, noise_clip(LABELS[place], place, 100 + 20 * place))

    for i, example in enumerate(mixing.scenes(plan, get_clip)):
        objects = example["objects"]
        assert [o["label"] for o in objects] == LABELS[plan.clips[i]].tolist()
        assert [o["offscreen"] for o in objects] == [False] * 4 + [True]
        assert [o["sounding"] for o in objects] == plan.sounding[i].tolist()
        assert [bool(o["bbox"].any()) for o in objects] == [True] * 4 + [False]
        made = np.where(plan.sounding[i], plan.gains_db[i] - 26 - 20 * np.log10(3), -np.inf)
        np.testing.assert_allclose([o["level_db"] for o in objects], made, rtol=1e-5)
