from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from avloc.data_pipelines.media.video import FRAMES_PER_CLIP, VideoError, cut, probe
from tests.videos import colour, damage, pitch, place, truncate, write_video

# The square crosses the frame once a second, so its place is the time of the frame.
TARGETS = (np.arange(FRAMES_PER_CLIP) + 0.5) / FRAMES_PER_CLIP


@pytest.mark.parametrize(
    ("name", "rate", "settings"),
    [
        ("a.mp4", 25, {}),
        ("b.mkv", Fraction(30000, 1001), {"sample_rate": 22050, "channels": 1}),
        ("c.webm", 12, {}),
        ("d.avi", 25, {"channels": 1}),
        ("e.mov", 10, {"sample_rate": 48000, "channels": 6}),
        ("f.m4v", 60, {"sample_rate": 8000, "channels": 1}),
    ],
)
def test_frames_are_those_of_the_time_and_sound_fits_them(tmp_path, name, rate, settings):
    path = write_video(tmp_path / name, seconds=2.5, rate=rate, **settings)
    clips = list(cut(path))
    assert [clip.place for clip in clips] == [0, 1]
    for clip in clips:
        assert clip.frames.shape == (4, 64, 96, 3)
        assert clip.frames.dtype == np.uint8
        shown = [place(frame) for frame in clip.frames]
        # Half a frame off at most, and a pixel; avi shows its second frame too late by one.
        slack = (1.6 if name == "d.avi" else 0.55) / float(rate) + 1 / 75
        np.testing.assert_allclose(shown, TARGETS, atol=slack)
        np.testing.assert_allclose(colour(clip.frames[1]), [220, 30, 30], atol=12)
        assert clip.waveform.shape == (16000,)
        assert clip.waveform.dtype == np.int16
        assert pitch(clip.waveform) == pytest.approx(400 + 100 * clip.place, abs=1)
        # However many channels there were, a tone of amplitude one half stays one.
        assert np.std(clip.waveform) == pytest.approx(16384 / np.sqrt(2), rel=0.1)


def test_variable_rate_takes_the_nearest_frame(tmp_path):
    times = [0.0, 0.1, 0.5, 0.52, 0.9, 1.3, 1.33, 1.9, 1.98]
    clips = list(cut(write_video(tmp_path / "a.mkv", seconds=2.0, times=times)))
    shown = np.concatenate([[place(f) + clip.place for f in clip.frames] for clip in clips])
    targets = np.concatenate([TARGETS, 1 + TARGETS])
    nearest = [min(times, key=lambda t: abs(t - target)) for target in targets]
    assert len(shown) == 8
    # 0.9 of the width is the place at 0.9 s, also when it is shown in the next second.
    np.testing.assert_allclose(np.mod(shown, 1), np.mod(nearest, 1), atol=0.03)


def test_sound_keeps_its_time_to_the_sample(tmp_path):
    path = write_video(tmp_path / "a.mkv", sample_rate=16000, channels=1)
    wave = np.concatenate([clip.waveform for clip in cut(path)])
    times = np.arange(32000) / 16000
    expected = 16384 * np.sin(2 * np.pi * (400 + 100 * np.floor(times)) * times)
    np.testing.assert_allclose(wave, expected, atol=2)


def test_resampled_sound_keeps_its_time(tmp_path):
    path = write_video(tmp_path / "a.mkv", sample_rate=44100, channels=2)
    wave = np.concatenate([clip.waveform for clip in cut(path)])
    times = np.arange(32000) / 16000
    expected = 16384 * np.sin(2 * np.pi * (400 + 100 * np.floor(times)) * times)
    error = np.abs(wave - expected)
    # A shift of one sample would err by 2,500; the ends and the change of pitch ring a little.
    assert np.quantile(error, 0.99) < 200


def test_gap_in_the_sound_is_zeros_and_what_follows_keeps_its_time(tmp_path):
    path = write_video(tmp_path / "a.mkv", seconds=5, sound_gap=(1.2, 3.5))
    clips = {clip.place: clip.waveform for clip in cut(path)}
    assert sorted(clips) == [0, 1, 3, 4]  # the third second holds no sound at all
    for waveform, begin, end in ((clips[1], 0.3, 1.0), (clips[3], 0.0, 0.4)):
        assert not waveform[int(16000 * begin) : int(16000 * end)].any()
    assert np.abs(clips[1][:2400].astype(int)).max() > 10000
    assert pitch(clips[4]) == pytest.approx(800, abs=1)


def test_only_seconds_in_which_both_tracks_run(tmp_path):
    late = write_video(tmp_path / "late.mkv", seconds=4, sound_delay=0.5, sound_seconds=2.7)
    assert [clip.place for clip in cut(late)] == [1, 2]
    short = write_video(tmp_path / "short.mp4", seconds=4, sound_seconds=2.5)
    assert [clip.place for clip in cut(short)] == [0, 1]
    mute_end = write_video(tmp_path / "pictures.mp4", seconds=1.5, sound_seconds=4)
    assert [clip.place for clip in cut(mute_end)] == [0]


def test_frames_are_scaled_down_to_the_shorter_side_never_up(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=1)
    assert next(cut(path, 32)).frames.shape == (4, 32, 48, 3)
    assert next(cut(path, 200)).frames.shape == (4, 64, 96, 3)


def test_rotation_tag_is_followed(tmp_path):
    upright = next(cut(write_video(tmp_path / "a.mp4", seconds=1))).frames
    turned = next(cut(write_video(tmp_path / "b.mp4", seconds=1, rotation=90))).frames
    np.testing.assert_array_equal(turned, np.rot90(upright, axes=(1, 2)))
    scaled = next(cut(write_video(tmp_path / "c.mp4", seconds=1, rotation=-90), 32)).frames
    assert scaled.shape == (4, 48, 32, 3)


def test_streams(tmp_path):
    """The first clip comes before the file has been read far."""
    path = write_video(tmp_path / "a.mp4", seconds=8)
    clips = cut(path)
    next(clips)
    clips.close()  # ends without decoding the rest
    assert next(clips, None) is None


def test_probe(tmp_path):
    info = probe(write_video(tmp_path / "a.mp4", rate=Fraction(30000, 1001), rotation=90))
    assert info.duration == pytest.approx(2.0, abs=0.05)
    assert float(info.rate) == pytest.approx(29.97, abs=0.01)
    assert (info.width, info.height, info.has_audio) == (64, 96, True)
    assert not probe(write_video(tmp_path / "b.mp4", sound=False)).has_audio


def _text(path: Path) -> Path:
    path.write_text("not a video\n" * 50)
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: write_video(p, sound=False), "no sound track"),
        (lambda p: write_video(p, pictures=False), "no picture track"),
        (lambda p: write_video(p, seconds=0.6), r"shorter than a second \(0.60 s\)"),
        (_text, "not a video that can be read"),
        (lambda p: p, "no such file"),
        (lambda p: truncate(write_video(p)), "not a video that can be read"),
    ],
)
def test_faults_are_named(tmp_path, make, sentence):
    path = make(tmp_path / "film.mp4")
    with pytest.raises(VideoError, match=rf"film\.mp4: {sentence}"):
        list(cut(path))


def test_cover_image_is_no_picture_track(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        container.mux([*cover.encode(image), *cover.encode()])
    with pytest.raises(VideoError, match="no picture track"):
        next(cut(path))


@pytest.mark.parametrize(
    ("name", "harm"), [("a.mp4", damage), ("b.mkv", damage), ("c.mov", damage), ("d.mkv", truncate)]
)
def test_clips_before_the_damage_are_kept(tmp_path, name, harm):
    whole = list(cut(write_video(tmp_path / name, seconds=6)))
    harm(tmp_path / name)
    kept = []
    with pytest.raises(VideoError, match=r"damaged at second [234]"):
        for clip in cut(tmp_path / name):
            kept.append(clip)
    assert 2 <= len(kept) <= 4
    for before, after in zip(whole, kept, strict=False):
        np.testing.assert_array_equal(before.frames, after.frames)
        np.testing.assert_array_equal(before.waveform, after.waveform)
    assert all(b.place == a.place + 1 for a, b in pairwise(kept))


def test_tags_need_not_be_utf8(tmp_path):
    path = write_video(tmp_path / "tags.mp4", seconds=1)
    content = path.read_bytes()
    assert b"VideoHandler" in content
    path.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert len(list(cut(path))) == 1 and probe(path).has_audio
