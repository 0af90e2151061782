import io
import json
import re
import shutil

import av
import numpy as np
import pytest
import scipy.io.wavfile
from PIL import Image

from avloc.data_pipelines.media.video import Clip, VideoError, cut
from avloc.drawing.rendering import palette
from avloc.inference.analysis import Overlay, Second, analyse
from avloc.inference.video import localize_image, localize_video, record_of
from tests.inference.blobs import HIGH, red_blob_model, red_picture
from tests.videos import damage, pitch, square_frame, truncate, write_video

SIZE = (160, 120)


def localize(path, out):
    return localize_video(red_blob_model(), path, out, batch_size=8, progress=False)


def read(drawn):
    return json.loads(record_of(drawn).read_text())


def frames(path):
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """3.4 s: a red square moves; pitches of 850, 950, 1050 and 1150 Hz make it heard from 2 s."""
    path = tmp_path_factory.mktemp("video") / "band.mp4"
    return write_video(path, seconds=3.4, size=SIZE, frequency=850.0)


@pytest.fixture(scope="module")
def localized(video, tmp_path_factory):
    return localize(video, tmp_path_factory.mktemp("out") / "new" / "folder")


def test_files(localized):
    assert localized.name == "band.localized.mp4"
    assert sorted(p.name for p in localized.parent.iterdir()) == [
        "band.localization.json",
        "band.localized.mp4",
    ]


def test_the_video_keeps_frames_times_and_sound(video, localized):
    old, new = frames(video), frames(localized)
    assert len(new) == len(old) == 85
    np.testing.assert_allclose([t for t, _ in new], [t for t, _ in old], atol=1e-6)
    height, width = new[0][1].shape[:2]
    assert width == SIZE[0] and height > SIZE[1] and height % 2 == 0
    with av.open(str(video)) as a, av.open(str(localized)) as b:
        assert b.streams.video[0].average_rate == a.streams.video[0].average_rate
        assert b.duration == pytest.approx(a.duration, abs=50_000)
    heard = [pitch(clip.waveform) for clip in cut(localized)]
    np.testing.assert_allclose(heard, [850, 950, 1050], atol=2)


def test_frames_are_tinted_where_and_while_it_sounds(video, localized):
    orange = palette(3)[0].astype(float)
    for (time, old), (_, new) in zip(frames(video), frames(localized), strict=True):
        picture = new[: SIZE[1]].astype(float)
        red = np.abs(square_frame(time, SIZE, (220, 30, 30)).astype(int) - 128).max(-1) > 48
        if time < 1.8:
            np.testing.assert_allclose(picture, old, atol=60)  # coding noise at edges
            assert np.abs(picture - old).mean() < 3
        elif 2.2 < time < 2.7:
            # The square has moved at most an eighth of a second since it was analysed.
            inside = picture[48:72][:, red[60]][:, 10:-10].mean((0, 1))
            expected = 0.5 * old[48:72][:, red[60]][:, 10:-10].mean((0, 1)) + 0.5 * orange
            np.testing.assert_allclose(inside, expected, atol=25)
            far = np.abs(np.arange(SIZE[0]) - np.nonzero(red[60])[0].mean()) > 60
            assert np.abs(picture - old)[80:][:, far].mean() < 4


def test_the_last_part_of_a_second_is_shown_as_the_second_before(video, localized):
    time, last = frames(localized)[-1]
    assert time > 3.3
    assert np.abs(last[: SIZE[1]].astype(float) - frames(video)[-1][1]).mean() > 4


def test_the_strip_shows_when_it_sounds(localized):
    _, first = frames(localized)[0]
    strip = first[SIZE[1] :].astype(int)
    orange = (np.abs(strip - palette(3)[0]).max(-1) < 40).any(0)
    columns = np.nonzero(orange)[0]
    blue = (np.abs(strip - palette(3)[1]).max(-1) < 40).any(0)
    assert columns.min() > np.nonzero(blue)[0].mean() and columns.max() > 0.9 * SIZE[0]


def test_json(video, localized):
    record = read(localized)
    assert record["video"] == "band.mp4" and record["names"] == ["drum", "flute", "harp"]
    assert record["digest"] == red_blob_model().digest() and record["checkpoint"] == "none"
    assert record["threshold"] == 0.5 and record["seconds_skipped"] == []
    assert record["damage"] is None
    assert [s["second"] for s in record["seconds"]] == [0, 1, 2]
    for second in record["seconds"]:
        high = second["second"] == 2
        assert [c["name"] for c in second["classes"]] == record["names"]
        drum, flute, harp = second["classes"]
        assert drum["score"] == pytest.approx(0.6 if high else 0)
        assert [c["state"] == "sounding" for c in (drum, flute, harp)] == [high, not high, False]
        assert harp["boxes"] == [] and flute["boxes"] == []  # nothing is blue
        assert len(drum["boxes"]) == high
    (box,) = record["seconds"][2]["classes"][0]["boxes"]
    # The middle frame, the third of four, is at 0.625 s: the square's left side is at 75 of 120.
    np.testing.assert_allclose(box["box"], [1 / 3, 75 / 160, 2 / 3, 115 / 160], atol=0.06)
    assert 0.5 < box["score"] <= 1


def test_silent_seconds_in_a_gap_are_skipped_and_reported(tmp_path):
    path = write_video(tmp_path / "a.mkv", seconds=5, frequency=1200.0, sound_gap=(1.9, 4.05))
    record = read(localize(path, tmp_path / "out"))
    analysed = [s["second"] for s in record["seconds"]]
    assert record["seconds_skipped"] and 0 in analysed and 4 in analysed
    assert sorted(record["seconds_skipped"] + analysed) == list(range(5))


def test_batches_do_not_change_the_answer(video):
    model = red_blob_model()
    small, large = (list(analyse(model, cut(video), n)) for n in (4, 32))
    for a, b in zip(small, large, strict=True):
        assert a.second == b.second
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)
        assert a.maps.keys() == b.maps.keys()
        for n in a.maps:
            np.testing.assert_allclose(a.maps[n], b.maps[n], atol=1e-3)


def test_analysis_takes_clips_one_batch_at_a_time():
    taken = []

    def clips():
        for second in range(100):
            taken.append(second)
            yield Clip(second, np.zeros((4, 96, 96, 3), np.uint8), np.zeros(16000, np.int16))

    seconds = analyse(red_blob_model(), clips(), 16)
    next(seconds)
    assert len(taken) == 4
    for _ in range(4):
        next(seconds)
    assert len(taken) == 8


def second(number, *sounding, value=1.0):
    """A second of two classes whose maps are 1 in one cell that follows the frame's number."""
    maps = {n: np.zeros((4, 1, 4), np.float16) for n in sounding}
    for n in sounding:
        maps[n][np.arange(4), 0, np.arange(4)] = value
    heard = np.isin(np.arange(2), sounding)
    return Second(number, heard * np.float32(0.9), heard, maps, [])


def test_maps_move_between_analysed_frames():
    overlay = Overlay([second(0, 0), second(1, 0)], ("a", "b"), 2.0)
    for time, expected in (
        (0.125, [1, 0, 0, 0]),
        (0.25, [0.5, 0.5, 0, 0]),
        (0.4375, [0, 0.75, 0.25, 0]),
        (0.0, [1, 0, 0, 0]),  # before the first, and after the last: the nearest
        (1.95, [0, 0, 0, 1]),
        (1.0, [0.5, 0, 0, 0.5]),  # between two seconds
    ):
        maps, strength, scores = overlay.at(time)
        np.testing.assert_allclose(maps[0, :, 0], expected, atol=1e-3)
        np.testing.assert_allclose(strength, [1, 0])
        np.testing.assert_allclose(scores, [0.9, 0], rtol=1e-6)


def test_what_stops_sounding_fades():
    overlay = Overlay([second(0, 0), second(1, 1)], ("a", "b"), 2.0)
    for time, expected in (
        (0.8, [1, 0]),
        (0.9375, [0.75, 0.25]),
        (1.0625, [0.25, 0.75]),
        (1.2, [0, 1]),
    ):
        _, strength, scores = overlay.at(time)
        np.testing.assert_allclose(strength, expected, atol=1e-6)
        np.testing.assert_allclose(scores[strength > 0], 0.9, rtol=1e-6)


def test_only_a_last_part_of_a_second_takes_the_second_before():
    ends_early = Overlay([second(0, 0), second(3, 0)], ("a", "b"), 5.4)
    assert ends_early.at(3.9)[1][0] == 1
    for time in (1.5, 2.9, 4.2, 5.3):
        assert ends_early.at(time)[1].max() == 0
    assert Overlay([second(0, 0), second(3, 0)], ("a", "b"), 4.6).at(4.5)[1][0] == 1


def test_odd_sizes_become_even(tmp_path):
    overlay = Overlay([second(0, 0)], ("a", "b"), 1.0)
    frame = np.full((91, 141, 3), 200, np.uint8)
    drawn = overlay.draw(frame, 0.5)
    assert drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0 and drawn.shape[1] == 142
    assert drawn.shape == overlay.draw(frame, 0.9).shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sound": False}, "no sound track"),
        ({"pictures": False}, "no picture"),
        ({"seconds": 0.6}, "shorter than a second"),
    ],
)
def test_unusable_videos_are_named_and_leave_nothing(tmp_path, options, message):
    path = write_video(tmp_path / "bad.mp4", **options)
    with pytest.raises(VideoError, match=message) as error:
        localize(path, tmp_path / "out")
    assert "bad.mp4" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_text_and_missing_files_are_named(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    for path in (text, tmp_path / "missing.mp4"):
        with pytest.raises(VideoError, match=path.name):
            localize(path, tmp_path / "out")


@pytest.mark.parametrize("start", [0.4, 0.6, 0.8])
def test_a_damaged_video_is_localized_up_to_the_damage(tmp_path, start):
    whole = write_video(tmp_path / "a.mp4", seconds=8, size=SIZE, frequency=1200.0)
    bad = tmp_path / "bad.mp4"
    shutil.copyfile(whole, bad)
    damage(bad, start, 0.05)
    drawn = localize(bad, tmp_path / "out")
    record, expected = read(drawn), read(localize(whole, tmp_path / "out"))
    assert re.fullmatch(r"damaged at second \d.*", record["damage"])
    (until,) = map(int, re.findall(r"second (\d)", record["damage"]))
    assert 1 <= len(record["seconds"]) <= until < 8
    assert record["seconds"] == expected["seconds"][: len(record["seconds"])]
    assert record["seconds_skipped"] == list(range(len(record["seconds"]), 8))
    times = [time for time, _ in frames(drawn)]
    end = len(record["seconds"])
    assert end - 0.3 < times[-1] < end
    with av.open(str(drawn)) as container:
        heard = [frame.time for frame in container.decode(audio=0)]
    assert end - 0.3 < heard[-1] < end + 0.05


def test_a_video_cut_off_is_localized_up_to_there(tmp_path):
    path = truncate(write_video(tmp_path / "bad.mkv", seconds=6), 0.5)
    drawn = localize(path, tmp_path / "out")
    record = read(drawn)
    assert record["damage"].startswith("damaged at second ")
    assert 1 <= len(record["seconds"]) <= 3
    assert frames(drawn)[-1][0] < len(record["seconds"])


def test_a_video_damaged_in_its_first_second_leaves_nothing(tmp_path):
    path = damage(write_video(tmp_path / "bad.mp4", seconds=6), 0.08, 0.3)
    with pytest.raises(VideoError, match=r"bad\.mp4: damaged at second 0"):
        localize(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_videos_of_one_folder_have_files_of_their_own(video, tmp_path):
    other = write_video(tmp_path / "duet.mp4", seconds=1, frequency=1200.0)
    for path in (video, other):
        localize(path, tmp_path / "out")
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == [
        f"{name}.{ending}"
        for name in ("band", "duet")
        for ending in ("localization.json", "localized.mp4")
    ]
    assert read(tmp_path / "out" / "band.localized.mp4")["video"] == "band.mp4"
    assert read(tmp_path / "out" / "duet.localized.mp4")["video"] == "duet.mp4"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_interruption_leaves_what_was_there(video, tmp_path, monkeypatch, stop):
    out = tmp_path / "out"
    out.mkdir()
    (out / "band.localization.json").write_text("from before")
    draw, calls = Overlay.draw, []

    def interrupted(self, frame, time):
        calls.append(time)
        if len(calls) == 30:
            raise stop
        return draw(self, frame, time)

    monkeypatch.setattr(Overlay, "draw", interrupted)
    with pytest.raises(stop):
        localize(video, out)
    assert [p.name for p in out.iterdir()] == ["band.localization.json"]
    assert (out / "band.localization.json").read_text() == "from before"


@pytest.fixture
def picture(tmp_path):
    return red_picture(tmp_path / "photo.png", 120, 160)


def write_tone(path, rate=44100, seconds=2.0):
    wave = np.sin(2 * np.pi * (HIGH + 500) * np.arange(round(rate * seconds)) / rate)
    scipy.io.wavfile.write(path, rate, np.int16(20000 * np.stack([wave, wave], axis=1)))
    return path


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_an_image_with_a_sound_file(picture, tmp_path, seconds):
    tone = write_tone(tmp_path / "tone.wav", seconds=seconds)
    target = localize_image(red_blob_model(), picture, tone, tmp_path / "out")
    assert target == tmp_path / "out" / "photo.localized.png"
    drawn = np.asarray(Image.open(target)).astype(float)
    assert drawn.shape == (120, 160, 3)
    np.testing.assert_allclose(
        drawn[45, 60], 0.4 * np.array([250, 10, 10]) + 0.6 * palette(1)[0], atol=6
    )
    record = read(tmp_path / "out" / "photo.localized.png")
    assert (record["image"], record["audio"]) == ("photo.png", "tone.wav")
    drum, flute, _ = record["classes"]
    assert (drum["state"], flute["state"]) == ("sounding", "silent")
    np.testing.assert_allclose(drum["boxes"][0]["box"], [0.25, 0.25, 0.5, 0.5], atol=0.03)


def test_an_image_with_the_sound_of_a_video(picture, tmp_path):
    video = write_video(tmp_path / "a.mp4", seconds=1.0, frequency=1500.0)
    localize_image(red_blob_model(), picture, video, tmp_path / "out")
    record = read(tmp_path / "out" / "photo.localized.png")
    assert record["classes"][0]["state"] == "sounding"


def test_unusable_images_and_sounds_are_named(picture, tmp_path):
    tone = write_tone(tmp_path / "tone.wav")
    text = tmp_path / "text.png"
    text.write_text("not an image")
    silent = write_video(tmp_path / "silent.mp4", seconds=1.0, sound=False)
    half = io.BytesIO()
    Image.open(picture).save(half, format="JPEG")
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(half.getvalue()[:700])
    for image, audio, name, message in (
        (text, tone, "text.png", "not a picture"),
        (torn, tone, "torn.jpg", "a damaged picture"),
        (tmp_path / "none.png", tone, "none.png", "no such file"),
        (picture, text, "text.png", "not sound that can be read"),
        (picture, tmp_path / "none.wav", "none.wav", "no such file"),
        (picture, silent, "silent.mp4", "no sound track"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            localize_image(red_blob_model(), image, audio, tmp_path / "out")
        assert name in str(error.value)
    assert not (tmp_path / "out").exists()
