"""Sounds of every kind become one channel of whole numbers, or are refused in one sentence."""

import av
import numpy as np
import pytest
import scipy.io.wavfile

from avloc.data_pipelines.media.sound_file import middle_second
from avloc.data_pipelines.media.tracks import VideoError
from avloc.data_pipelines.media.video import cut
from avloc.data_pipelines.media.waveform import (
    Resampler,
    is_silent,
    rate,
    resample_to,
    samples_of,
    to_mono,
    to_mono_int16,
)
from tests.videos import pitch, write_video

TIME = np.arange(44100) / 44100


def tone(frequency=440.0, size=0.5):
    return (size * np.sin(2 * np.pi * frequency * TIME)).astype(np.float32)


def level_db(sound) -> float:
    """RMS of the middle, in dB of a sine of full scale."""
    inner = np.asarray(sound, float)[1000:-1000]
    return 20 * np.log10(np.sqrt(2 * np.mean(inner**2)) + 1e-12)


def test_the_resampler_keeps_what_fits_and_folds_nothing_back():
    assert level_db(resample_to(tone(7300, 1), 44100, 16000)) == pytest.approx(0, abs=0.05)
    assert level_db(resample_to(tone(7500, 1), 44100, 16000)) > -0.5
    assert level_db(resample_to(tone(8500, 1), 44100, 16000)) < -100


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_sound_in_pieces_is_the_sound_at_once(channels):
    sound = np.random.default_rng(0).normal(0, 0.1, (4410, channels)).astype(np.float32)
    stream = Resampler(44100, channels)
    pieces = [stream.take(sound[start : start + 700]) for start in range(0, 4410, 700)]
    made = np.concatenate([*pieces, stream.rest()])
    np.testing.assert_array_equal(made, resample_to(sound.T, 44100, 16000).T)
    same = Resampler(16000, channels)
    np.testing.assert_array_equal(same.take(sound), sound)
    assert same.rest().shape == (0, channels)


@pytest.mark.parametrize(
    "given", [44100, 44100.0, np.int16(8000), np.float32(16000), np.uint32(5e5)]
)
def test_rates_of_any_type_of_number(given):
    assert rate(given) == int(given) and type(rate(given)) is int
    assert resample_to(np.zeros(10), given, given).shape == (10,)


@pytest.mark.parametrize("given", [True, np.True_, np.nan, np.inf, "44100", None, 44100.5, [44100]])
def test_rates_that_are_no_whole_number(given):
    with pytest.raises(ValueError, match="sample_rate must be a whole number of Hz"):
        resample_to(np.zeros(10), given, 16000)


@pytest.mark.parametrize("given", [0, -44100, 0.0, 44, 10**12, 1e300])
def test_rates_that_no_sound_has(given):
    with pytest.raises(ValueError, match=r"no sound has a rate of .* sample rates are 1000 to 768"):
        resample_to(np.zeros(10), 16000, given)


def test_where_channels_cancel_the_loudest_stands_for_all():
    left = tone()
    mono, one = to_mono(np.stack([0.9 * left, -left]))  # the mean is 26 dB below
    assert one
    np.testing.assert_array_equal(mono, np.rint(-32768 * left.astype(float)))
    mono, one = to_mono(np.stack([0.7 * left, -left]))  # 15 dB below: quiet, and still the mean
    assert not one
    np.testing.assert_allclose(mono, -0.15 * 32768 * left, atol=0.51)
    assert not to_mono(np.stack([left, *np.zeros((7, 44100))])).one_channel
    assert not to_mono(np.stack([1e-4 * left, -1e-4 * left])).one_channel  # nothing is heard anyway
    assert to_mono(np.stack([0.2 + left, 0.2 - left])).one_channel  # a constant is not heard
    whole = np.int16(10000 * np.stack([left, -left]))
    np.testing.assert_array_equal(np.abs(to_mono_int16(whole)), np.abs(whole[0]))


@pytest.mark.parametrize(
    ("sound", "silent"),
    [
        (np.zeros(16000), True),
        (np.ones(0), True),
        (np.full(16050, 3000), True),  # a constant
        (10 * np.sin(np.arange(16000)), True),  # -73 dB
        (60 * np.sin(np.arange(16000)), False),  # -58 dB
        (np.r_[np.zeros(15000), 300 * np.sin(np.arange(1000))], False),  # one soft stroke
        (np.r_[np.zeros(100), 300 * np.ones(2), np.zeros(15000)], True),  # a click
    ],
)
def test_what_is_silent(sound, silent):
    assert is_silent(np.int16(sound)) is silent


@pytest.mark.parametrize("form", ["u8", "s16", "s16p", "s32", "fltp", "dbl", "s64"])
def test_samples_of_every_format_mean_the_same(form):
    wave = np.stack([tone()[:1024], -0.5 * tone()[:1024]])
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
    frame.sample_rate = 44100
    (frame,) = av.AudioResampler(format=form).resample(frame)
    found = samples_of(frame)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wave.T, atol=0.009 if form == "u8" else 4e-5)


def write_wav(path, *channels, rate=44100):
    scipy.io.wavfile.write(path, rate, np.stack(channels, axis=1))
    return path


def spoilt(value):
    wave = np.tile(tone(), 3)
    wave[100_000] = value
    return wave


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.nan, "the sound holds NaN or infinity: give finite samples"),
        (-np.inf, "the sound holds NaN or infinity: give finite samples"),
        (1e30, "the sound is float32 up to 1e+30: give -1..1"),
        (-9.0, "the sound is float32 up to 9: give -1..1"),
    ],
)
def test_floats_that_are_no_sound_are_refused_by_name(tmp_path, value, sentence):
    path = write_wav(tmp_path / "bad.wav", spoilt(value))
    with pytest.raises(ValueError) as refused:
        middle_second(path)
    assert str(refused.value).startswith(f"{path}: {sentence}")


def test_the_middle_second_of_a_file(tmp_path):
    seconds = [tone(300), tone(500), tone(700)]
    path = write_wav(tmp_path / "a.wav", np.concatenate(seconds))
    found = middle_second(path)
    assert found.samples.shape == (16000,) and pitch(found.samples) == 500 and not found.one_channel
    expected = to_mono_int16(resample_to(seconds[1], 44100, 16000))
    np.testing.assert_allclose(found.samples[500:-500], expected[500:-500], atol=1)
    short = middle_second(write_wav(tmp_path / "b.wav", tone()[:4410], -tone()[:4410]))
    assert short.samples.shape == (1600,) and short.one_channel


def test_a_video_whose_channels_cancel_keeps_its_sound(tmp_path):
    path = write_video(tmp_path / "a.mkv", seconds=2, gains=(1, -1))
    clips = list(cut(path))
    assert [clip.one_channel for clip in clips] == [True, True]
    assert [pitch(clip.waveform) for clip in clips] == pytest.approx([400, 500], abs=1)
    assert not any(is_silent(clip.waveform) for clip in clips)
    usual = list(cut(write_video(tmp_path / "b.mkv", seconds=1, gains=(1, 0.5))))
    assert not usual[0].one_channel
    muted = list(cut(write_video(tmp_path / "c.mp4", seconds=1, gains=(1e-4, 1e-4))))
    assert is_silent(muted[0].waveform) and not muted[0].one_channel


def test_a_video_is_heard_as_its_sound_in_a_file_is(tmp_path):
    """One resampler: 7.5 kHz has the same level, and 8.5 kHz is gone, on both ways."""
    for frequency, low, high in ((7500, -0.6, 0.1), (8500, -250, -60)):
        wav = write_wav(tmp_path / f"{frequency}.wav", *np.tile(tone(frequency, 0.9), (2, 1)))
        video = write_video(tmp_path / f"{frequency}.mp4", seconds=1, sound=False)
        (clip,) = cut(video, sound=wav)
        ours = middle_second(wav).samples
        np.testing.assert_array_equal(clip.waveform, ours)
        assert low < level_db(ours / (0.9 * 32768)) < high


def test_a_video_names_the_file_whose_sound_is_none(tmp_path):
    video = write_video(tmp_path / "a.mp4", seconds=3, sound=False)
    wav = write_wav(tmp_path / "bad.wav", spoilt(np.nan))
    clips = cut(video, sound=wav)
    assert next(clips).place == 0
    with pytest.raises(VideoError, match=r"bad\.wav: the sound holds NaN or infinity"):
        list(clips)
