"""Chosen moments of videos: the frame that is nearest in time, and the sound of a stretch."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines.media import tracks, video
from avloc.data_pipelines.media.video import VideoError, cut, cut_at
from tests.videos import damage, pitch, place, truncate, write_video

MOMENTS = [(0.0, 0.43), (1.0, 1.52), (1.0, 1.77), (2.0, 2.31)]


def nearest(times, wanted: float) -> float:
    return min(times, key=lambda time: abs(time - wanted))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"rate": 25, "channels": 1}),
        ("b.mp4", {"rate": Fraction(30000, 1001)}),
        ("c.mkv", {"rate": 30, "sample_rate": 22050}),
        ("d.mp4", {"rate": 60}),
        ("e.mkv", {"times": [0.0, 0.1, 0.4, 0.45, 0.9, 1.3, 1.6, 1.7, 1.9, 2.2, 2.44, 2.9]}),
    ],
)
def test_the_nearest_frame_is_taken_and_its_distance_told(tmp_path, name, settings):
    path = write_video(tmp_path / name, seconds=3, **settings)
    rate = settings.get("rate")
    shown = settings.get("times") or [float(i / rate) for i in range(round(3 * rate))]
    clips = list(cut_at(path, MOMENTS))
    assert [clip.place for clip in clips] == [0, 1, 2, 3]
    for clip, (start, time) in zip(clips, MOMENTS, strict=True):
        expected = nearest(shown, time)
        (frame,) = clip.frames
        assert place(frame) == pytest.approx(expected % 1, abs=1 / 60)  # a pixel
        assert clip.late == pytest.approx([expected - time], abs=2e-3)  # mkv rounds to 1 ms
        assert pitch(clip.waveform) == pytest.approx(400 + 100 * start, abs=1)


def test_moments_may_come_in_any_order_and_overlap(tmp_path):
    path = write_video(tmp_path / "a.mkv", seconds=3, sample_rate=16000, channels=1)
    moments = [(1.5, 2.0), (0.25, 0.5), (0.5, 2.5), (0.0, 0.9)]
    clips = {clip.place: clip for clip in cut_at(path, moments)}
    assert sorted(clips) == [0, 1, 2, 3]
    times = np.arange(48000) / 16000
    wave = 16384 * np.sin(2 * np.pi * (400 + 100 * np.floor(times)) * times)
    for number, (start, time) in enumerate(moments):
        first = round(16000 * start)
        np.testing.assert_allclose(clips[number].waveform, wave[first : first + 16000], atol=2)
        assert place(clips[number].frames[0]) == pytest.approx(time % 1, abs=0.04)


def test_what_lies_beyond_the_end_is_left_out(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=3, sound_seconds=2.2)
    moments = [(0.0, 0.5), (1.0, 2.9), (1.0, 3.2), (2.0, 2.1), (5.0, 5.5)]
    # The third has no picture, the fourth only 0.2 s of sound, the last nothing.
    assert [clip.place for clip in cut_at(path, moments)] == [0, 1]


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    return write_long(tmp_path_factory.mktemp("long") / "a.mp4")


def write_long(path: Path) -> Path:
    return write_video(path, seconds=48, rate=8, size=(64, 48), sample_rate=16000, channels=1)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_jumping_gives_what_reading_through_does(long, tmp_path, ending, monkeypatch):
    path = long
    if ending != ".mp4":
        path = write_long(tmp_path / f"a{ending}")
    moments = [(3.0, 3.4), (30.0, 30.9), (30.2, 30.95), (46.0, 46.6)]
    decoded = []
    real = tracks.decode

    def counted(container, stream):
        for frame in real(container, stream):
            decoded.append(frame.time)
            yield frame

    monkeypatch.setattr(tracks, "decode", counted)
    jumped = list(cut_at(path, moments))
    few = len(decoded)
    monkeypatch.setattr(tracks, "SEEK_GAP", 1e9)
    monkeypatch.setattr(video, "SEEK_GAP", 1e9)
    read = list(cut_at(path, moments))
    many = len(decoded) - few
    assert [clip.place for clip in jumped] == [clip.place for clip in read] == [0, 1, 2, 3]
    if ending == ".avi":  # no index to go by
        assert few > many
    else:
        assert few < many / 3
    for ours, theirs in zip(jumped, read, strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        assert ours.late == theirs.late
        # mkv tells the time of its sound to half a millisecond, 8 samples.
        assert abs(lag(ours.waveform, theirs.waveform)) <= (8 if ending == ".mkv" else 0)


def test_a_far_stretch_is_the_same_as_when_all_is_cut(long):
    stretch = list(cut(long, start=30.0, length=3.0))
    whole = list(cut(long))[30:33]
    assert [clip.place for clip in stretch] == [0, 1, 2]
    for ours, theirs in zip(stretch, whole, strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        assert lag(ours.waveform, theirs.waveform) == 0


def lag(a, b) -> int:
    """By how many samples a is later than b; the least, as a tone repeats itself."""
    error = {
        k: np.abs(a[50 + k : 15950 + k].astype(int) - b[50:15950]).mean()
        for k in sorted(range(-50, 51), key=abs)
    }
    best = min(error, key=error.get)
    assert error[best] < 100  # of an amplitude of 16,384
    return best


def test_the_rotation_tag_is_followed(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=1, rotation=90)
    upright = write_video(tmp_path / "b.mp4", seconds=1)
    (turned,), (plain,) = (list(cut_at(p, [(0.0, 0.5)], 32)) for p in (path, upright))
    assert turned.frames.shape == (1, 48, 32, 3)
    np.testing.assert_array_equal(turned.frames, np.rot90(plain.frames, axes=(1, 2)))


@pytest.mark.parametrize(
    ("make", "given", "sentence"),
    [
        (lambda p: write_video(p, sound=False), [], "no sound track"),
        (lambda p: damage(write_video(p, seconds=6)), [0], "damaged at second"),
        (lambda p: p, [], "no such file"),
    ],
)
def test_faults_are_named_after_what_came_before_them(tmp_path, make, given, sentence):
    path, clips = make(tmp_path / "film.mkv"), []
    with pytest.raises(VideoError, match=rf"film\.mkv: {sentence}"):
        clips.extend(clip.place for clip in cut_at(path, [(0.0, 0.5), (4.9, 5.4)]))
    assert clips == given


def test_a_file_cut_short_gives_what_it_holds(tmp_path):
    path = truncate(write_video(tmp_path / "a.mkv", seconds=8), 0.5)
    assert [clip.place for clip in cut_at(path, [(0.0, 0.5), (7.0, 7.5)])] == [0]


def test_longer_clips_and_stretches(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=9.9)
    clips = list(cut(path, seconds=3))  # the last tenth of a second is missing: within 5 %
    assert [clip.waveform.shape for clip in clips] == [(48000,)] * 3
    shown = [place(frame) for frame in clips[1].frames]
    assert shown == pytest.approx([0.375, 0.125, 0.875, 0.625], abs=0.04)
    (ten,) = cut(path, seconds=10)
    assert len(ten.frames) == 4
    assert pitch(ten.waveform[144000:], 16000) == pytest.approx(1300, abs=2)
    stretch = list(cut(path, start=4.5, length=3))
    assert [clip.place for clip in stretch] == [0, 1, 2]
    assert place(stretch[1].frames[0]) == pytest.approx(0.625, abs=0.04)
    with pytest.raises(VideoError, match=r"ends at 9\.9. s, no whole second after 12 s"):
        list(cut(path, start=12.0, length=1))


def test_sound_of_its_own_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=2, sound=False)
    sound = write_video(tmp_path / "sound.mkv", seconds=2, pictures=False, frequency=700)
    assert [pitch(clip.waveform) for clip in cut(path, sound=sound)] == [700, 800]


def test_a_picture_with_its_sound(tmp_path):
    picture = Image.new("RGB", (40, 20), (10, 200, 30))
    picture.save(path := tmp_path / "a.png")
    sound = write_video(tmp_path / "a.mkv", seconds=3, pictures=False)
    moments = [(0.0, 0.0), (1.5, 1.5), (2.5, 2.5)]  # half of the last is beyond the end
    clips = list(cut_at(path, moments, 10, sound=sound))
    assert [clip.place for clip in clips] == [0, 1]
    assert clips[0].frames.shape == (1, 10, 20, 3)
    assert clips[0].frames[0, 5, 5].tolist() == [10, 200, 30]
    assert len(list(cut(path, sound=sound))) == 3
    with pytest.raises(VideoError, match="not a picture that can be read"):
        shutil.copy(sound, tmp_path / "b.png")
        list(cut(tmp_path / "b.png", sound=sound))
