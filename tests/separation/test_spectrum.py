"""Spectra, their inverses and resampling, against librosa, SciPy and soxr; ideal masks."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import soxr

from avloc.data_pipelines.builders.toy_orchestra.toy_orchestra_dataset_builder import make_clip
from avloc.separation.measures import separation
from avloc.separation.resampling import resample
from avloc.separation.spectrum import Stft, interpolation, istft, stft, unwarp, warp

SPEC = Stft()


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(0, 0.1, (2, 6143)).astype(np.float32)


def test_spectrum_and_inverse_are_librosas(noise):
    spectrum = stft(noise, SPEC)
    expected = librosa.stft(noise, n_fft=1022, hop_length=256)
    assert spectrum.shape == expected.shape == (2, 512, 24)
    assert SPEC.bins == 512 and SPEC.frames(6143) == 24
    np.testing.assert_allclose(spectrum, expected, atol=1e-5)
    changed = expected * np.linspace(0, 1, 512)[:, None].astype(np.float32)
    for samples in (6143, 5888, 7000):
        got = istft(jnp.asarray(changed), SPEC, samples)
        back = librosa.istft(changed, n_fft=1022, hop_length=256, length=samples)
        assert got.shape == back.shape
        # Where the last window ends both divide by next to nothing.
        np.testing.assert_allclose(got[:, :6380], back[:, :6380], atol=1e-5)


@pytest.mark.parametrize("spec", [SPEC, Stft(126, 64), Stft(510, 100)])
def test_a_sound_comes_back_whole(noise, spec):
    samples = spec.hop * (spec.frames(noise.shape[1]) - 1)
    back = istft(stft(noise, spec), spec, noise.shape[1])
    np.testing.assert_allclose(back[:, :samples], noise[:, :samples], atol=1e-6)


def test_warp_reads_between_rows_as_grid_sample_does():
    """Frequency `src = (21^u - 1) / 20`, bilinear, first and last row at the ends."""
    x = np.random.default_rng(1).normal(size=(3, 32, 5)).astype(np.float32)
    places = (21 ** np.linspace(0, 1, 16) - 1) / 20 * 31
    expected = [
        np.stack([np.interp(places, np.arange(32), item[:, n]) for n in range(5)], 1) for item in x
    ]
    np.testing.assert_allclose(warp(x, 16), expected, atol=1e-5)
    back = np.log(20 * np.linspace(0, 1, 32) + 1) / np.log(21) * 15
    expected = [
        np.stack([np.interp(back, np.arange(16), item[:, n]) for n in range(5)], 1)
        for item in x[:, :16]
    ]
    np.testing.assert_allclose(unwarp(x[:, :16], 32), expected, atol=1e-5)


def test_a_smooth_mask_survives_the_warp_and_back():
    smooth = scipy.ndimage.gaussian_filter1d(
        np.random.default_rng(2).uniform(0, 1, (512, 3)), 12, axis=0
    ).astype(np.float32)
    np.testing.assert_allclose(unwarp(warp(smooth, 256), 512), smooth, atol=0.02)


def test_interpolation_of_one_entry():
    np.testing.assert_array_equal(interpolation(np.array([0.0, 0.5, 1.0]), 1), np.ones((3, 1)))


def test_gradients_are_finite_and_reach_the_sound(noise):
    def loudness(x):
        spectrum = stft(x, Stft(126, 64))
        mask = unwarp(warp(jnp.abs(spectrum), 16), 64)
        return jnp.sum(istft(spectrum * mask, Stft(126, 64), x.shape[-1]) ** 2)

    gradient = jax.grad(loudness)(jnp.asarray(noise[:, :640]))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(("rate_in", "rate_out"), [(16000, 11025), (11025, 16000), (16000, 8000)])
def test_resampling_agrees_with_scipy_and_soxr(rate_in, rate_out):
    time = np.arange(rate_in // 2) / rate_in
    sound = sum(np.sin(2 * np.pi * f * time + f) for f in (440, 1234.5, 3000))
    sound = (sound * np.hanning(len(time))).astype(np.float32)
    got = resample(sound, rate_in, rate_out)
    assert got.shape == (-(-len(sound) * rate_out // rate_in),)
    other = soxr.resample(sound, rate_in, rate_out)[: len(got)]
    np.testing.assert_allclose(got[: len(other)], other, atol=2e-3)
    # Both with a pause behind that is a whole number of periods of both rates.
    padded = np.pad(sound, (0, rate_in - len(sound)))
    whole = scipy.signal.resample(padded, rate_out)
    np.testing.assert_allclose(resample(padded, rate_in, rate_out)[: len(got)], got, atol=1e-4)
    np.testing.assert_allclose(got[:-20], whole[: len(got) - 20], atol=1e-4)


def test_resampling_of_an_odd_length_keeps_the_length_asked_for(noise):
    there = resample(noise[:, :777], 16000, 11025)
    assert there.shape == (2, 536)
    assert resample(there, 11025, 16000, 777).shape == (2, 777)
    np.testing.assert_array_equal(resample(noise, 16000, 16000), noise)


@pytest.mark.parametrize(("kind", "least"), [("binary", 9), ("ratio", 9)])
def test_ideal_masks_of_a_mixture(kind, least):
    """What no network of 256 log-frequency rows and the mixture's phase can do better than."""
    clips = [make_clip("test", index).sound.waveform / 32768 for index in (0, 5, 12, 15)]
    sources = np.asarray(resample(np.float32(clips), 16000, 11025)).reshape(2, 2, -1)
    mixture = sources.sum(axis=1, keepdims=True)
    spectrum = stft(mixture, SPEC)
    parts, whole = (warp(jnp.abs(x), 256) for x in (stft(sources, SPEC), spectrum))
    mask = parts > 0.5 * whole if kind == "binary" else jnp.clip(parts / whole, 0, 5)
    back = unwarp(mask.astype(jnp.float32), 512)
    back = back > 0.5 if kind == "binary" else back
    estimates = istft(spectrum * back, SPEC, sources.shape[-1])
    by_mask = separation(sources, estimates)
    by_mixture = separation(sources, np.broadcast_to(mixture, sources.shape))
    assert by_mask.sdr.mean() > by_mixture.sdr.mean() + least
