"""The toy orchestra is exact and deterministic, and only looks and timbre give a class away."""

import dataclasses
from itertools import combinations

import librosa
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from avloc.data_pipelines.builders.toy_orchestra import drawing, sounds
from avloc.data_pipelines.builders.toy_orchestra.figures import INSTRUMENTS
from avloc.data_pipelines.builders.toy_orchestra.toy_orchestra_dataset_builder import (
    CLIPS_PER_VIDEO,
    FRAME_SIZE,
    Builder,
    make_clip,
)

CLASS_NAMES = tuple(INSTRUMENTS)
CHANCE = 1 / len(CLASS_NAMES)
SPLITS = ("train", "validation", "test", "cocktail_train", "cocktail_test")


@pytest.fixture(scope="module")
def clips():
    """One clip each of 240 training videos and of 120 test videos, of all twelve categories."""
    return {
        split: [make_clip(split, CLIPS_PER_VIDEO * video, classes=12) for video in range(count)]
        for split, count in (("train", 240), ("test", 120))
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    builder = Builder(data_dir=folder, config="tiny", file_format="array_record")
    builder.download_and_prepare()
    return builder


@pytest.fixture(scope="module")
def records(built):
    return stored(built)


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    builder = Builder(data_dir=folder, config="tiny_wild", file_format="array_record")
    builder.download_and_prepare()
    return builder


@pytest.fixture(scope="module")
def wild_records(wild):
    return stored(wild)


def stored(builder):
    """Everything that was stored; text comes back as bytes."""
    return {
        split: [
            r | {k: r[k].decode() for k in ("id", "video")} for r in builder.as_data_source(split)
        ]
        for split in builder.info.splits
    }


def linear_accuracy(clips, feature):
    """Test accuracy of a linear model that sees nothing but `feature`."""
    x = {split: feature(some) for split, some in clips.items()}
    y = {split: [clip.label for clip in some] for split, some in clips.items()}
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return model.fit(x["train"], y["train"]).score(x["test"], y["test"])


def mean_pitch(clips):
    return np.array([[np.mean(np.log(clip.sound.pitches))] for clip in clips])


def loudness(clips):
    return np.array([[np.log(np.std(clip.sound.waveform.astype(float)))] for clip in clips])


def background(clips):
    """Mean colours of 8x8 fields, the inside of the box hidden behind the mean of the rest."""
    fields = []
    for clip in clips:
        frame = clip.picture.frame.astype(float)
        top, left, bottom, right = np.round(clip.picture.box * FRAME_SIZE).astype(int)
        outside = np.ones(frame.shape[:2], bool)
        outside[top:bottom, left:right] = False
        frame[~outside] = frame[outside].mean(0)
        fields.append(frame.reshape(8, FRAME_SIZE // 8, 8, FRAME_SIZE // 8, 3).mean((1, 3)))
    return np.reshape(fields, (len(clips), -1))


def object_colour(clips):
    return np.array([clip.picture.frame[clip.picture.mask].mean(0) for clip in clips])


def log_mel_statistics(clips):
    waveforms = np.stack([clip.sound.waveform for clip in clips]) / np.float32(32768)
    mel = librosa.feature.melspectrogram(
        y=waveforms, sr=16000, n_fft=512, hop_length=320, n_mels=40
    )
    level = np.log(mel + 1e-7)
    return np.concatenate([level.mean(-1), level.std(-1)], axis=1)


@pytest.mark.parametrize("feature", [mean_pitch, loudness, background, object_colour])
def test_gives_no_class_away(clips, feature):
    # 120 guesses by chance: 0.083 with standard deviation 0.025.
    assert linear_accuracy(clips, feature) < 2 * CHANCE


def test_timbre_gives_the_class_away(clips):
    assert linear_accuracy(clips, log_mel_statistics) > 0.85


def test_pitches_are_those_heard():
    label = CLASS_NAMES.index("horn")
    rng = np.random.default_rng(0)
    heard = 0
    for _ in range(12):
        sound = sounds.play(sounds.voice(label, rng), rng)
        assert 1 <= len(sound.pitches) <= 3
        low, high = sounds.PITCH_RANGE
        assert ((low <= sound.pitches) & (sound.pitches <= high)).all()
        if len(sound.pitches) == 1:
            track = librosa.yin(sound.waveform / 32768, fmin=150, fmax=800, sr=16000)
            middle = np.median(track[len(track) // 2 :])
            assert middle == pytest.approx(sound.pitches[0], rel=0.05)
            heard += 1
    assert heard > 0


def test_sound_uses_its_range(clips):
    rms = [np.std(c.sound.waveform / 32768) for c in clips["train"]]
    low, high = (sounds.FULL_RMS * 10 ** (db / 20) for db in sounds.GAIN_RANGE)
    assert low * 0.9 < min(rms) < low * 1.3
    assert high * 0.75 < max(rms) < high * 1.1
    assert max(np.abs(c.sound.waveform.astype(int)).max() for c in clips["train"]) <= 32767


def test_boxes_are_tight_around_the_mask(clips):
    for clip in clips["train"]:
        places = np.argwhere(clip.picture.mask)
        edges = np.concatenate([places.min(0), places.max(0) + 1])
        np.testing.assert_allclose(clip.picture.box * FRAME_SIZE, edges, atol=1e-4)


@pytest.mark.parametrize("label", range(len(CLASS_NAMES)))
def test_mask_is_what_the_object_covers(label):
    """Pixels that change with the object's colour are the mask, less what occluders hide."""
    rng = np.random.default_rng(label)
    plain = dataclasses.replace(
        drawing.look(label, rng, FRAME_SIZE),
        ground=np.full((FRAME_SIZE, FRAME_SIZE, 3), 128, np.uint8),
        surface=np.ones((FRAME_SIZE, FRAME_SIZE, 1)),
        blur=0.0,
        light=0.8,
    )
    for seed in range(6):
        black, white = (
            drawing.picture(
                dataclasses.replace(plain, palette=np.full((4, 3), shade, np.uint8)),
                np.random.default_rng(seed),
            )
            for shade in (0, 255)
        )
        np.testing.assert_array_equal(black.mask, white.mask)
        change = white.frame[..., 0].astype(int) - black.frame[..., 0]
        assert not (change[~white.mask] > 120).any()
        hidden = (change[white.mask] < 80).mean()
        assert hidden < 0.3
        visible = np.argwhere(change > 80)
        if hidden == 0:
            edges = np.concatenate([visible.min(0), visible.max(0) + 1])
            np.testing.assert_allclose(white.box * FRAME_SIZE, edges, atol=1.01)


def test_objects_are_large_and_off_centre(clips):
    boxes = np.array([c.picture.box for c in clips["train"]])
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides.prod(1)
    assert 0.33 < np.median(areas) < 0.5
    assert areas.min() > 0.2
    assert areas.max() < 0.67
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= 1).all()
    # A box in the middle, as large as the objects are, mostly misses.
    low, high = 0.5 - 0.31, 0.5 + 0.31
    shared = np.clip(np.minimum(boxes[:, 2:], high) - np.maximum(boxes[:, :2], low), 0, 1).prod(1)
    assert np.mean(shared / (areas + 0.62**2 - shared) >= 0.5) < 0.45


def test_clip_depends_on_its_arguments_alone():
    first, again = make_clip("test", 7), make_clip("test", 7)
    np.testing.assert_array_equal(first.picture.frame, again.picture.frame)
    np.testing.assert_array_equal(first.sound.waveform, again.sound.waveform)
    for other in (make_clip("train", 7), make_clip("test", 7, seed=1), make_clip("test", 6)):
        assert not np.array_equal(first.picture.frame, other.picture.frame)
        assert not np.array_equal(first.sound.waveform, other.sound.waveform)


def test_clips_of_a_video_show_one_object():
    gaps = {"same": [], "other": []}
    for video in range(10):
        one, two = (make_clip("train", CLIPS_PER_VIDEO * video + take) for take in (0, 1))
        stranger = make_clip("train", CLIPS_PER_VIDEO * (video + 10))
        assert one.video == two.video != stranger.video
        assert one.label == two.label == stranger.label
        for key, clip in (("same", two), ("other", stranger)):
            gaps[key].append(np.abs(one.picture.frame.astype(int) - clip.picture.frame).mean())
    assert max(gaps["same"]) < np.median(gaps["other"])


def test_build_holds_the_clips(built, records):
    assert built.info.metadata["class_names"] == list(CLASS_NAMES[:10])
    assert built.info.metadata["boxes"] == "exact"
    assert {s: len(r) for s, r in records.items()} == built.builder_config.num_examples
    by_id = {r["id"]: r for r in records["train"]}
    assert len(by_id) == len(records["train"])
    for index in (0, 1, 33):
        clip = make_clip("train", index)
        record = by_id[f"{clip.video}_{index % CLIPS_PER_VIDEO}"]
        np.testing.assert_array_equal(record["waveform"], clip.sound.waveform)
        difference = record["frames"][0].astype(int) - clip.picture.frame
        assert np.abs(difference).mean() < 4
        np.testing.assert_array_equal(record["objects"]["bbox"], clip.picture.box[None])
        assert list(record["objects"]["label"]) == [clip.label]
        assert list(record["objects"]["sounding"]) == [True]
        assert list(record["objects"]["offscreen"]) == [False]


def test_splits_share_no_video_and_are_balanced(records):
    videos = {split: {r["video"] for r in records[split]} for split in SPLITS}
    for one, two in combinations(SPLITS, 2):
        assert not videos[one] & videos[two]
    labels = [r["objects"]["label"][0] for r in records["train"]]
    assert np.ptp(np.bincount(labels, minlength=10)) <= CLIPS_PER_VIDEO


@pytest.mark.parametrize("name", ["default", "wild", "long"])
def test_splits_of_full_size_are_balanced(name):
    config = Builder.builder_configs[name]
    for split in ("train", "validation", "test"):
        assert getattr(config, split) % (CLIPS_PER_VIDEO * len(config.class_names)) == 0


def test_a_long_clip_is_played_to_its_end():
    """Six seconds by one instrument, the first of which is the short clip's."""
    short, long = make_clip("train", 8), make_clip("train", 8, seconds=6)
    assert (long.label, long.video) == (short.label, short.video)
    np.testing.assert_array_equal(long.picture.frame, short.picture.frame)
    np.testing.assert_array_equal(long.sound.waveform[:16000], short.sound.waveform)
    assert long.sound.waveform.shape == (96000,)
    seconds = long.sound.waveform.astype(float).reshape(6, -1)
    assert (np.std(seconds / 32768, axis=1) > 0.02).all()
    assert 6 <= len(long.sound.pitches) <= 18
    assert not any(np.array_equal(a, b) for a, b in combinations(seconds, 2))


def test_two_more_categories_change_no_clip_of_the_ten():
    assert CLASS_NAMES[:10] == (
        *("accordion", "bell", "drum", "gong", "guitar"),
        *("harp", "horn", "maracas", "whistle", "xylophone"),
    )
    for index in (0, 7, 19):
        of_ten, of_twelve = make_clip("test", index), make_clip("test", index, classes=12)
        np.testing.assert_array_equal(of_ten.picture.frame, of_twelve.picture.frame)
        np.testing.assert_array_equal(of_ten.sound.waveform, of_twelve.sound.waveform)
    assert make_clip("test", 20).label == 0
    assert make_clip("test", 20, classes=12).label == 10


@pytest.mark.parametrize("split", ["cocktail_train", "cocktail_test"])
def test_scenes_follow_the_recipe(records, split):
    corners = np.array([(0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5)])
    for record in records[split]:
        objects = record["objects"]
        assert len(set(objects["label"])) == 4
        assert sum(objects["sounding"]) == 2
        boxes = np.array(objects["bbox"])
        assert (boxes[:, :2] >= corners).all()
        assert (boxes[:, 2:] <= corners + 0.5).all()
        assert record["frames"][0].shape == (FRAME_SIZE, FRAME_SIZE, 3)
        assert np.abs(record["waveform"].astype(int)).max() > 300
        assert not np.any(objects["offscreen"])
        levels = np.array(objects["level_db"])
        np.testing.assert_array_equal(np.isfinite(levels), objects["sounding"])
        # Two sources that have nothing to do with one another add up by their powers, mostly.
        total = 10 * np.log10(np.mean((record["waveform"] / 32768) ** 2))
        assert total == pytest.approx(10 * np.log10(np.sum(10 ** (levels / 10))), abs=1.5)


def test_wild_splits(wild):
    assert wild.info.metadata["class_names"] == list(CLASS_NAMES)
    assert tuple(wild.info.metadata["recipes"]["wild_test_3_3_2"]["grid"]) == (2, 3)
    sizes = {split: part.num_examples for split, part in wild.info.splits.items()}
    assert sizes == wild.builder_config.num_examples
    full = Builder.builder_configs["wild"].num_examples
    assert set(full) == set(sizes)
    assert full["train"] == 2400 and full["wild_train"] == 4800


@pytest.mark.parametrize(
    ("split", "sounding", "offscreen", "grid"),
    [
        ("wild_train", 2, 1, (2, 2)),
        ("wild_validation", 2, 1, (2, 2)),
        ("cocktail_test", 2, 0, (2, 2)),
        ("wild_test_2_2_1", 2, 1, (2, 2)),
        ("wild_test_3_3_2", 3, 2, (2, 3)),
        ("wild_test_4_4_3", 4, 3, (2, 4)),
        ("uneven_test", 2, 0, (2, 2)),
    ],
)
def test_wild_scenes_follow_their_recipe(wild_records, split, sounding, offscreen, grid):
    rows, columns = grid
    cells = rows * columns
    corners = np.stack(np.divmod(np.arange(cells), columns), 1) / grid
    for record in wild_records[split]:
        objects = {key: np.array(value) for key, value in record["objects"].items()}
        assert len(objects["label"]) == len(set(objects["label"])) == cells + offscreen
        np.testing.assert_array_equal(objects["offscreen"], np.arange(cells + offscreen) >= cells)
        assert objects["sounding"][:cells].sum() == sounding
        assert objects["sounding"][cells:].all()
        boxes = objects["bbox"]
        assert (boxes[:cells, :2] >= corners - 1e-6).all()
        assert (boxes[:cells, 2:] <= corners + 1 / np.array(grid) + 1e-6).all()
        assert not boxes[cells:].any()
        # Cells are squares of one size.
        assert record["frames"][0].shape == (FRAME_SIZE, FRAME_SIZE * columns // rows, 3)
        levels = objects["level_db"][objects["sounding"]]
        difference = np.ptp(levels)
        if split == "uneven_test":
            assert 6 - 1e-4 <= difference <= 12 + 1e-4
        elif split != "cocktail_test":
            assert difference <= 12 + 1e-4
            middle = -26 - 20 * np.log10(sounding + offscreen)
            assert np.abs(levels - middle).max() <= 6 + 1e-4
