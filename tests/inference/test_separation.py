"""Sounds taken apart, of videos and from Python."""

import json

import av
import numpy as np
import pytest
import scipy.io.wavfile

from avloc.data_pipelines.media.video import sound_of_video
from avloc.inference.separation import separate_video
from tests.inference.blobs import red_blob_model, splitting_model
from tests.inference.test_model import scene, tone
from tests.videos import pitch, truncate, write_video


def whole(path):
    return np.concatenate([second.samples for second in sound_of_video(path)]) / 32768


def sound(path):
    rate, samples = scipy.io.wavfile.read(path)
    assert rate == 16000 and samples.dtype == np.int16
    return samples / 32768


def separate(path, out, **more):
    return separate_video(splitting_model(), path, out, batch_size=8, progress=False, **more)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """3.4 s of 850, 950, 1050 and 1150 Hz: a flute up to second 2, then a drum."""
    path = tmp_path_factory.mktemp("video") / "band.mp4"
    return write_video(path, seconds=3.4, size=(160, 120), frequency=850.0)


@pytest.fixture(scope="module")
def made(video, tmp_path_factory):
    return separate(video, tmp_path_factory.mktemp("out") / "new", solo=["drum", "harp"])


def test_files(made):
    assert sorted(path.name for path in made.record.parent.iterdir()) == [
        "band.drum.mp4",
        "band.drum.wav",
        "band.flute.wav",
        "band.rest.wav",
        "band.separation.json",
    ]
    assert set(made.stems) == {"drum", "flute"} and set(made.solos) == {"drum"}


def test_stems_and_rest_add_up_to_the_sound(video, made):
    parts = [sound(path) for path in (*made.stems.values(), made.rest)]
    expected = whole(video)
    assert len(expected) > 3.35 * 16000
    np.testing.assert_allclose(sum(parts), expected, atol=1e-3)


def test_each_kind_has_its_own_pitches(made):
    drum, flute, rest = (sound(made.stems["drum"]), sound(made.stems["flute"]), sound(made.rest))
    assert abs(pitch(flute[4000:12000], 16000) - 850) < 5
    assert abs(pitch(drum[36000:44000], 16000) - 1050) < 5
    # Away from the changes of pitch nothing is heard of the other kind, nor left.
    for silent in (drum[4000:12000], flute[36000:44000], rest[4000:12000]):
        assert np.abs(silent).max() < 0.02


def test_no_click_where_windows_meet(video, made):
    """No step of a stem is larger than those of the tones themselves."""
    tones = np.abs(np.diff(whole(video)[4000:28000])).max()
    for path in made.stems.values():
        assert np.abs(np.diff(sound(path)[4000:28000])).max() <= 1.05 * tones


def test_the_record(made):
    record = json.loads(made.record.read_text())
    assert (record["video"], record["sample_rate"], record["threshold"]) == ("band.mp4", 16000, 0.5)
    stems = {stem["name"]: stem for stem in record["stems"]}
    assert stems["drum"]["sounding"] == [2] and stems["flute"]["sounding"] == [0, 1]
    assert stems["drum"]["file"] == "band.drum.wav"
    # A sine of amplitude 0.5 is 9.0 dB below full scale.
    np.testing.assert_allclose(record["loudness_db"][:3], -9.0, atol=0.5)
    np.testing.assert_allclose(stems["flute"]["loudness_db"][0], -9.0, atol=0.5)
    assert stems["drum"]["loudness_db"][0] < -30 and len(stems["drum"]["loudness_db"]) == 4
    assert len(record["rest"]["loudness_db"]) == 4


def test_in_a_solo_one_kind_is_heard(video, made):
    with av.open(str(made.solos["drum"])) as container:
        frames = sum(1 for _ in container.decode(video=0))
    heard = whole(made.solos["drum"])
    assert frames == 85
    assert np.abs(heard[4000:12000]).max() < 0.05
    assert abs(pitch(heard[36000:44000], 16000) - 1050) < 5


@pytest.mark.parametrize("more", [{"sound_delay": 0.7}, {"sound_gap": (1.2, 1.9)}])
def test_sound_that_starts_late_or_has_a_gap_stays_in_time(tmp_path, more):
    path = write_video(tmp_path / "a.mp4", seconds=3.0, frequency=850.0, **more)
    heard = whole(path)
    begin, end = more.get("sound_gap", (0.0, 0.7))
    assert np.abs(heard[round((begin + 0.1) * 16000) : round((end - 0.1) * 16000)]).max() < 0.02
    assert abs(pitch(heard[36000:44000], 16000) - (1050 if "sound_gap" in more else 950)) < 60
    made = separate(path, tmp_path / "out")
    parts = [sound(file) for file in (*made.stems.values(), made.rest)]
    np.testing.assert_allclose(sum(parts), heard, atol=1e-3)


def test_the_last_second_is_as_long_as_the_sound(tmp_path):
    path = write_video(tmp_path / "a.mkv", seconds=2.5, sample_rate=8000)
    pieces = [len(second.samples) for second in sound_of_video(path)]
    assert pieces[:2] == [16000, 16000] and abs(pieces[2] - 8000) <= 160


def test_where_nothing_sounds_all_is_left(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=2.0, gains=(0.0, 0.0))
    made = separate(path, tmp_path / "out")
    assert made.stems == {} and np.abs(sound(made.rest)).max() == 0
    assert json.loads(made.record.read_text())["stems"] == []


def test_names_that_are_no_file_names(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=2.0, frequency=850.0)
    model = splitting_model(("harp", "rest", "../x/y"))
    made = separate_video(model, path, tmp_path / "out", progress=False)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "a.rest (2).wav",
        "a.rest.wav",
        "a.separation.json",
    }
    assert made.rest.name == "a.rest.wav" and made.stems["rest"].name == "a.rest (2).wav"


def test_a_damaged_video_is_taken_apart_up_to_the_damage(tmp_path):
    path = write_video(tmp_path / "a.mkv", seconds=8.0, frequency=850.0)
    truncate(path, 0.5)
    made = separate(path, tmp_path / "out", solo=["drum"])
    record = json.loads(made.record.read_text())
    assert record["damage"].startswith("damaged at second ")
    seconds = int(record["damage"].split()[3].rstrip(","))
    parts = [sound(file) for file in (*made.stems.values(), made.rest)]
    assert 16000 * (seconds - 0.05) < len(parts[0]) <= 16000 * seconds
    assert len(record["loudness_db"]) == seconds
    with av.open(str(made.solos["drum"])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 25 * seconds


def test_what_is_refused(video, tmp_path):
    with pytest.raises(ValueError, match="no kind is called 'drun' in none; did you mean 'drum'"):
        separate(video, tmp_path / "out", solo=["drun"])
    with pytest.raises(ValueError, match="'RedBlobs' cannot separate sounds: choose one that can"):
        separate_video(red_blob_model(), video, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_from_python():
    both = 0.4 * tone(2000, seconds=1.7) + 0.3 * tone(300, seconds=1.7)
    found = splitting_model().separate(scene(), both, 16000, kinds=["drum", "flute"])
    assert found.waveforms.shape == (3, 27200) and found.categories == ("drum", "flute", "harp")
    middle = slice(4000, 20000)
    high = 0.4 * tone(2000, seconds=1.7)
    np.testing.assert_allclose(found["drum"][middle], high[middle], atol=0.02)
    np.testing.assert_allclose(found.waveforms.sum(0) + found.rest, both, atol=1e-3)
    assert np.abs(found["harp"]).max() == 0
    # By itself it takes those that sound: the loudest pitch is high, so a drum.
    alone = splitting_model().separate(scene(), both, 16000)
    assert np.abs(alone["flute"]).max() == 0 and np.abs(alone["drum"]).max() > 0.3
    assert "loudest: drum" in repr(alone)
    with pytest.raises(KeyError, match="no category is called 'oboe'"):
        alone["oboe"]


def test_from_python_stereo_at_another_rate():
    stereo = np.stack([tone(300, 44100, 1.5)] * 2, axis=1).astype(np.float32)
    found = splitting_model().separate(scene(), stereo, 44100, kinds=["flute"])
    low = tone(300, seconds=1.5)
    assert found.rest.shape == (24000,) and found.sample_rate == 16000
    np.testing.assert_allclose(found["flute"][4000:16000], low[4000:16000], atol=0.03)
