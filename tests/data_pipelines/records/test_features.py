"""The record layout: what goes in comes out."""

import io

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines.records.features import (
    CLIP_SECONDS,
    SAMPLE_RATE,
    clip_example,
    clip_features,
    encode_frame,
)


@pytest.fixture
def frame():
    """A smooth picture, which JPEG keeps well."""
    y, x = np.mgrid[:40, :56]
    return np.stack([4 * x, 5 * y, 255 - 2 * (x + y)], -1).astype(np.uint8)


def test_encoded_frame_is_a_jpeg_of_the_frame(frame):
    buffer = encode_frame(frame)
    picture = Image.open(buffer)
    assert picture.format == "JPEG"
    assert np.abs(np.asarray(picture).astype(int) - frame).max() <= 8
    coarse = encode_frame(frame, quality=10)
    assert len(coarse.getvalue()) < len(buffer.getvalue())


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)],
)
def test_wrong_frames_are_refused(wrong):
    with pytest.raises(ValueError, match=r"a frame must be \[H, W, 3\] uint8, not"):
        encode_frame(wrong)


def test_an_example_survives_storage(frame):
    waveform = np.arange(-8000, 8000).astype(np.int16)
    example = clip_example(
        id="a_1",
        video="a",
        second=1,
        frames=[frame, 255 - frame],
        waveform=waveform,
        boxes=np.array([[0, 0.25, 0.5, 1], [0, 0, 0, 0]]),
        labels=np.array([3, -1]),
        sounding=np.array([True, False]),
        offscreen=np.array([False, True]),
        level_db=np.array([-31.5, -np.inf]),
    )
    features = clip_features()
    record = features.deserialize_example_np(features.serialize_example(example))
    assert (record["id"], record["video"], record["second"]) == (b"a_1", b"a", 1)
    np.testing.assert_array_equal(record["waveform"], waveform)
    assert len(waveform) == SAMPLE_RATE * CLIP_SECONDS
    assert len(record["frames"]) == 2
    for stored, given in zip(record["frames"], (frame, 255 - frame), strict=True):
        assert np.abs(stored.astype(int) - given).max() <= 8
    np.testing.assert_array_equal(np.stack(record["objects"]["bbox"]), [[0, 0.25, 0.5, 1], [0] * 4])
    assert list(record["objects"]["label"]) == [3, -1]
    assert list(record["objects"]["sounding"]) == [True, False]
    assert list(record["objects"]["offscreen"]) == [False, True]
    assert list(record["objects"]["level_db"]) == [-31.5, -np.inf]


def test_objects_are_in_the_picture_at_an_unknown_level_unless_said(frame):
    example = clip_example(
        id="a",
        video="a",
        second=0,
        frames=[frame],
        waveform=np.zeros(16000),
        boxes=np.zeros((2, 4)),
        labels=np.zeros(2),
        sounding=np.ones(2, bool),
    )
    assert [(o["offscreen"], o["level_db"]) for o in example["objects"]] == [(False, 0)] * 2


def test_a_spectrogram_is_stored_as_it_is(frame):
    log_mel = np.random.default_rng(0).normal(-40, 20, (201, 64)).astype(np.float32)
    example = clip_example(
        id="a",
        video="a",
        second=0,
        frames=[frame],
        log_mel=log_mel,
        boxes=np.zeros((1, 4)),
        labels=np.zeros(1),
        sounding=np.ones(1, bool),
    )
    features = clip_features(log_mel=(201, 64))
    record = features.deserialize_example_np(features.serialize_example(example))
    np.testing.assert_array_equal(record["log_mel"], log_mel)
    assert (record["waveform"].shape, record["waveform"].dtype) == ((0,), np.int16)
    assert set(record) == {*clip_features(), "log_mel"}


def test_clips_may_be_longer():
    assert clip_features(clip_seconds=5)["waveform"].shape == (80000,)


@pytest.mark.parametrize(
    "sound", [{}, {"waveform": np.zeros(16000), "log_mel": np.zeros((201, 64))}]
)
def test_there_is_one_form_of_the_sound(frame, sound):
    with pytest.raises(ValueError, match="a1: give either a waveform or a log-mel, not both"):
        clip_example(
            id="a1",
            video="a",
            second=0,
            frames=[frame],
            **sound,
            boxes=np.zeros((1, 4)),
            labels=np.zeros(1),
            sounding=np.ones(1, bool),
        )


def test_objects_must_agree_in_number(frame):
    with pytest.raises(ValueError, match="zip"):
        clip_example(
            id="a",
            video="a",
            second=0,
            frames=[frame],
            waveform=np.zeros(16000),
            boxes=np.zeros((2, 4)),
            labels=np.zeros(1),
            sounding=np.zeros(2, bool),
        )


def test_a_frame_is_read_as_it_was_written(frame):
    example = clip_example(
        id="a",
        video="a",
        second=0,
        frames=[frame],
        waveform=np.zeros(16000),
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0),
        sounding=np.zeros(0, bool),
    )
    assert isinstance(example["frames"][0], io.BytesIO) and example["objects"] == []
    assert example["waveform"].dtype == np.int16
