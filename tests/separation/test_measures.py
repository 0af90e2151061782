"""SDR, SIR and SAR against mir_eval; SI-SDR by hand; silence; order."""

import mir_eval.separation as mir
import numpy as np
import pytest
import scipy.signal

from avloc.separation.measures import separation


def sounds(seed, batch, samples, sources=2):
    """Sounds with the falling spectra of music, and estimates with interference and noise."""
    rng = np.random.default_rng(seed)
    made = scipy.signal.lfilter([1], [1, -0.9], rng.normal(size=(batch, sources, samples)))
    leak = rng.uniform(0, 0.6, (batch, 1, 1)) * made[:, ::-1]
    delayed = np.roll(made, 3, axis=-1) * rng.uniform(0.5, 2, (batch, sources, 1))
    return made, delayed + leak + 0.2 * rng.normal(size=made.shape)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("any_order", [False, True])
def test_measures_are_mir_evals(any_order):
    sources, estimates = sounds(0, 1, 1500)
    if any_order:
        estimates = estimates[:, ::-1]
    got = separation(sources, estimates, any_order=any_order)
    *expected, order = mir.bss_eval_sources(sources[0], estimates[0], any_order)
    for name, values in zip(("sdr", "sir", "sar"), expected, strict=True):
        np.testing.assert_allclose(getattr(got, name)[0], values, atol=1e-6)
    np.testing.assert_array_equal(got.order[0], order)
    assert got.heard.all()


def test_a_hundred_mixtures_are_mir_evals():
    """With short filters, which mir_eval's parts take and its front does not."""
    sources, estimates = sounds(1, 100, 600, sources=3)
    got = separation(sources, estimates, delays=32)
    for item in range(100):
        for n in range(3):
            parts = mir._bss_decomp_mtifilt(sources[item], estimates[item, n], n, 32)
            expected = mir._bss_source_crit(*parts)
            found = got.sdr[item, n], got.sir[item, n], got.sar[item, n]
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pure_tones_whose_delays_are_not_independent_are_mir_evals():
    time = np.arange(4000) / 16000
    tones = np.sin(2 * np.pi * np.outer([440, 660], time))[None]
    estimates = tones + 0.1 * tones[:, ::-1] + 1e-3 * np.random.default_rng(5).normal(size=(4000,))
    got = separation(tones, estimates, delays=64)
    for n in range(2):
        parts = mir._bss_decomp_mtifilt(tones[0], estimates[0, n], n, 64)
        found = got.sdr[0, n], got.sir[0, n], got.sar[0, n]
        np.testing.assert_allclose(found, mir._bss_source_crit(*parts), atol=1e-6)


def test_scale_invariant_ratio_by_hand():
    rng = np.random.default_rng(2)
    source, estimate = rng.normal(size=(2, 500))
    target = (source @ estimate) / (source @ source) * source
    expected = 10 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2))
    for scale in (1.0, 7.5):
        got = separation(source[None, None], scale * estimate[None, None], delays=4)
        np.testing.assert_allclose(got.si_sdr, expected, rtol=1e-9)


def test_the_mixture_as_estimate_has_no_artifacts_and_all_the_interference():
    sources, _ = sounds(3, 1, 3000)
    got = separation(sources, np.broadcast_to(sources.sum(1, keepdims=True), sources.shape))
    assert (got.sar > 100).all()
    np.testing.assert_allclose(got.sdr, got.sir, atol=1e-6)
    assert np.abs(got.sdr).max() < 3


def test_silent_items_are_said_and_change_no_other():
    sources, estimates = sounds(4, 3, 800)
    quiet = estimates.copy()
    quiet[1, 0] = 0
    got, alone = separation(sources, quiet, delays=8), separation(sources, estimates, delays=8)
    np.testing.assert_array_equal(got.heard, [True, False, True])
    for name in ("sdr", "sir", "sar", "si_sdr"):
        assert np.isnan(getattr(got, name)[1]).all()
        np.testing.assert_allclose(getattr(got, name)[::2], getattr(alone, name)[::2], rtol=1e-9)
    silence = separation(0 * sources, estimates)
    assert not silence.heard.any() and np.isnan(silence.sdr).all()


@pytest.mark.parametrize(
    ("sources", "estimates", "words"),
    [
        (np.ones((1, 2, 9)), np.ones((1, 2, 8)), "must both be"),
        (np.ones((1, 2, 9)), np.full((1, 2, 9), np.nan), "hold NaN"),
    ],
)
def test_bad_input_is_one_sentence(sources, estimates, words):
    with pytest.raises(ValueError, match=words):
        separation(sources, estimates)
