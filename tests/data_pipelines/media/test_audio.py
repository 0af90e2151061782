import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.data_pipelines.media.audio import log_mel, mel_spectrogram
from avloc.data_pipelines.media.waveform import resample_to, to_mono_int16
from avloc.inputs import LogMel
from tests.data_pipelines import librosa_loop


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    """Tones in noise, at three loudnesses."""
    rng = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (220, 1000, 3500)])
    sound = tones * [[0.3], [0.05], [0.6]] + rng.normal(0, 0.03, tones.shape)
    return np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def test_mel_spectrogram_equals_librosa(noisy):
    expected = np.stack([librosa_loop.mel(w) for w in noisy])
    actual = np.asarray(mel_spectrogram(noisy))
    assert actual.shape == (3, 201, 64)
    for one, other in zip(actual, expected, strict=True):
        assert np.abs(one - other).max() <= 1e-6 * other.max()


def test_log_mel_equals_librosa(noisy):
    expected = np.stack([librosa_loop.log_mel(w) for w in noisy])
    actual = log_mel(noisy)
    assert actual.shape == (3, 201, 64, 1)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual[..., 0], expected, atol=1e-3, rtol=0)


def test_jit_equals_no_jit(noisy):
    np.testing.assert_allclose(jax.jit(log_mel)(noisy), log_mel(noisy), atol=1e-3, rtol=0)


def test_float_equals_int16(noisy):
    scaled = noisy.astype(np.float32) / 32768
    np.testing.assert_array_equal(log_mel(scaled), log_mel(noisy))


def test_other_lengths_have_a_frame_a_hop(noisy):
    part = noisy[:1, :3999]
    np.testing.assert_allclose(log_mel(part)[0, ..., 0], librosa_loop.log_mel(part[0]), atol=1e-3)
    assert log_mel(part).shape == (1, 1 + 3999 // 80, 64, 1)


def test_silence_is_flat_and_finite():
    np.testing.assert_array_equal(log_mel(np.zeros((1, 800), np.int16)), -100)


def test_each_clip_is_clipped_under_its_own_maximum(noisy):
    pair = np.stack([noisy[0], noisy[0] // 4])
    decibel = np.asarray(log_mel(pair))
    # The two empty filters are at the floor.
    np.testing.assert_allclose(decibel.max(axis=(1, 2, 3)) - decibel.min(axis=(1, 2, 3)), 80, 1e-5)
    np.testing.assert_allclose(log_mel(pair[1:])[0], decibel[1], atol=1e-3)
    loud = np.asarray(log_mel(pair, LogMel(top_db=10)))
    np.testing.assert_allclose(loud.max(axis=(1, 2)) - loud.min(axis=(1, 2)), 10, atol=1e-3)


@pytest.mark.parametrize("bad", [np.zeros(160, np.int16), np.zeros((1, 160), np.int32)])
def test_bad_waveforms_are_named(bad):
    with pytest.raises(ValueError, match="waveform"):
        log_mel(bad)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(rate):
    time_in, time_out = np.arange(rate) / rate, np.arange(16000) / 16000
    actual = resample_to(np.sin(2 * np.pi * 440 * time_in), rate, 16000)
    assert actual.shape == (16000,) and actual.dtype == np.float32
    expected = np.sin(2 * np.pi * 440 * time_out)
    np.testing.assert_allclose(actual[500:-500], expected[500:-500], atol=5e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    tone = np.sin(2 * np.pi * 15000 * np.arange(48000) / 48000)
    assert np.abs(resample_to(tone, 48000, 16000)[500:-500]).max() < 0.01


def test_resampling_keeps_channels_apart():
    left, right = np.random.default_rng(0).normal(size=(2, 441))
    both = resample_to(np.stack([left, right]), 44100, 16000)
    assert both.shape == (2, 160)
    np.testing.assert_array_equal(both[1], resample_to(right, 44100, 16000))


def test_resampling_refuses_a_rate_of_zero():
    with pytest.raises(ValueError, match="sample rates"):
        resample_to(np.zeros(4), 0, 16000)


def test_mono_is_the_mean_of_channels():
    stereo = np.array([[0, 100, 32767, -32768], [4, -50, 32767, -32768]], np.int16)
    np.testing.assert_array_equal(to_mono_int16(stereo), [2, 25, 32767, -32768])
    assert to_mono_int16(stereo).dtype == np.int16


def test_float_sound_is_scaled_and_clipped():
    sound = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5])
    np.testing.assert_array_equal(to_mono_int16(sound), [-32768, -32768, 0, 16384, 32767, 32767])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros(4, np.int32), "int16 or float"),
        (np.array([0.0, np.nan]), "not finite"),
        (np.zeros((1, 1, 4), np.int16), "channels"),
    ],
)
def test_bad_sound_is_named(bad, words):
    with pytest.raises(ValueError, match=words):
        to_mono_int16(bad)
