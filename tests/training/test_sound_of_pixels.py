"""Sound-of-Pixels by hand: mixtures, loss, what learns, channels of clusters, separation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.configs.sop import base
from avloc.data_pipelines.media.image import normalize
from avloc.losses import mask_error
from avloc.scoring.separation import mixture_pairs
from avloc.separation.masking import network_input, targets, weights
from avloc.separation.spectrum import stft
from avloc.training.methods import create, require
from avloc.types import Batch, DatasetInfo, Separates, TrainState
from tests.training.tiny_csol import changed

K, N = 3, 12
INFO = DatasetInfo({"train": N})


def method(**fields):
    """A net of two levels on 16 rows at 4 kHz; `separation__mask` sets that field."""
    config = base()
    config.image_size, config.clusters, config.batch_size = 32, K, 4
    config.model.update(dict(width=4, blocks=(1, 0, 0, 0), stem_pool=False))
    config.sound.update(dict(sample_rate=4000, samples=480, n_fft=62, hop=32, rows=16))
    config.separation.update(dict(channels=4, levels=2, width=4, deviation=0.0))
    return create(changed(config, **fields), INFO)


@pytest.fixture(scope="module")
def batch():
    """Four clips of an eighth of a second; clip n is a tone of its own."""
    rng = np.random.default_rng(0)
    tones = np.sin(2 * np.pi * np.outer([300, 600, 1000, 1500], np.arange(2000) / 16000))
    made = Batch.of(
        rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), (tones * 8000).astype(np.int16)
    )
    return made


@pytest.fixture(scope="module")
def start(batch):
    variables, aux = jax.jit(method().init)(jax.random.key(0), batch)
    prototypes = np.random.default_rng(1).uniform(size=(K, 4)).astype(np.float32)
    owner = np.eye(K, dtype=np.float32)[:, [0, 1, 2, 0]]
    return variables, {**aux, "prototypes": prototypes, "channels": owner}


def applied(sop, variables, part, x, train=False):
    """A part of the network, without what it gives for its statistics."""
    run = jax.jit(
        lambda x: sop.net.apply(variables, x, train, method=part, mutable=["batch_stats"])[0]
    )
    return run(x)


def test_a_mixture_is_the_mean_of_its_clips(batch):
    """Without gains, of the sounds themselves: each clip is in two mixtures, never twice in one."""
    sop = method(separation__gain=(1.0, 1.0), sound__sample_rate=16000, sound__samples=2000)
    mixed = jax.jit(sop.mix)(batch, jax.random.key(3))
    assert mixed.mixture.shape == (4, 16, 64)
    np.testing.assert_array_equal(np.bincount(mixed.clips.ravel()), [2, 2, 2, 2])
    sounds = batch.waveform / np.float32(32768)
    for item, (first, second) in enumerate(np.asarray(mixed.clips)):
        assert first != second
        for got, sound in (
            (mixed.sources[item, 0], sounds[first] / 2),
            (mixed.sources[item, 1], sounds[second] / 2),
            (mixed.mixture[item], (sounds[first] + sounds[second]) / 2),
        ):
            expected = sop.grid.loudness(stft(np.pad(sound, (0, 16)), sop.grid.stft))
            np.testing.assert_allclose(got, expected, atol=1e-4)


def test_gains_and_cuts_follow_the_key(batch):
    mix = jax.jit(method().mix)
    one, again, other = (mix(batch, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.mixture, again.mixture)
    assert np.abs(np.asarray(one.mixture) - other.mixture).max() > 1e-3
    plain = jax.jit(method(separation__gain=(1.0, 1.0)).mix)(batch, jax.random.key(0))
    ratio = np.asarray(one.sources).sum((2, 3)) / np.asarray(plain.sources).sum((2, 3))
    assert 0.49 < ratio.min() < ratio.max() < 1.51 and np.ptp(ratio) > 0.1


@pytest.mark.parametrize("mask", ["binary", "ratio"])
def test_the_loss_by_hand(batch, start, mask):
    sop, (variables, aux), key = method(separation__mask=mask), start, jax.random.key(5)
    loss, out = jax.jit(sop.loss)(variables, aux, batch, key)
    mixed = jax.jit(sop.mix)(batch, key)
    i = np.asarray(applied(sop, variables, "see", normalize(batch.image), train=True))
    guides = 1 / (1 + np.exp(-i.max(axis=(1, 2))))[np.asarray(mixed.clips)]
    heard = network_input(mixed.mixture)
    s = np.asarray(applied(sop, variables, "listen", heard, train=True))
    logits = np.einsum("bnk,brck->bnrc", guides, s)  # scale 1 and bias 0 at the start
    ideal = targets(mixed.sources, mixed.mixture[:, None], mask)
    expected = mask_error(jnp.asarray(logits), ideal, weights(mixed.mixture), mask).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    np.testing.assert_allclose(out.metrics["separation"], loss)


def test_mixtures_with_padding_do_not_count(batch, start):
    """`right` and the loss are means over the mixtures of real clips alone."""
    sop, key, step = method(), jax.random.key(5), jax.jit(method().loss)
    clips = np.asarray(jax.jit(sop.mix)(batch, key).clips)
    alone = [
        float(step(*start, batch._replace(mask=np.isin(np.arange(4), pair)), key)[0])
        for pair in clips
    ]
    np.testing.assert_allclose(step(*start, batch, key)[0], np.mean(alone), rtol=1e-5)
    nothing = batch._replace(mask=np.zeros(4, bool))
    assert step(*start, nothing, key)[0] == 0


def test_everything_learns_and_a_frozen_backbone_does_not(batch, start):
    variables, aux = start

    def gradient(sop):
        def value(params):
            return sop.loss({**variables, "params": params}, aux, batch, jax.random.key(0))[0]

        return jax.jit(jax.grad(value))(variables["params"])

    for sop, moves in ((method(), True), (method(model__frozen=("visual",)), False)):
        found = gradient(sop)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
        largest = {
            name: max(np.abs(x).max() for x in jax.tree.leaves(found[name])) for name in found
        }
        assert all(largest[name] > 0 for name in ("objects", "sound", "mask_scale", "mask_bias"))
        assert (largest["visual"] > 0) == moves


def test_channels_go_to_the_cluster_that_they_are_strongest_in(start):
    rng = np.random.default_rng(2)
    centres = np.array([[1, 0, 0, 0.6], [0, 1, 0, 0], [0, 0, 1, 0]])
    guides = (np.repeat(centres, 4, axis=0) + rng.normal(0, 0.01, (N, 4))).astype(np.float32)
    state = TrainState(start[0], {}, start[1], np.int32(0))
    aux = method().assign_channels(state, lambda f, s, split: guides, jax.random.key(0)).aux
    assert [len(set(np.asarray(aux["labels"])[4 * n :][:4])) for n in range(3)] == [1, 1, 1]
    owner = np.asarray(aux["channels"])
    np.testing.assert_array_equal(owner.sum(axis=0), np.ones(4))
    np.testing.assert_array_equal(owner[:, 0], owner[:, 3])
    with pytest.raises(ValueError, match="12 of 12 guides of split train hold NaN"):
        method().assign_channels(state, lambda *_: np.full((N, 4), np.nan), jax.random.key(0))


def test_predictions_are_in_range_and_the_map_is_the_loudness_of_each_cell(batch, start):
    sop, (variables, aux) = method(), start
    got = jax.jit(sop.predict)(variables, aux, batch)
    for value in got[:4]:
        assert np.min(value) >= 0 and np.max(value) <= 1 + 1e-6
    assert got.maps.shape[-1] == got.heard.shape[-1] == K
    i = applied(sop, variables, "see", normalize(batch.image))
    loudness = np.asarray(jax.jit(lambda x: sop.grid.loudness(sop.middle(x)))(batch.waveform))
    s = np.asarray(applied(sop, variables, "listen", network_input(loudness)))
    cells = 1 / (1 + np.exp(-np.asarray(i)))
    masks = 1 / (1 + np.exp(-np.einsum("bhwk,brnk->bhwrn", cells, s)))
    expected = np.einsum("bhwrn,brn->bhw", masks, loudness)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got.localization, expected, rtol=1e-3)


def test_separated_sounds_add_up_to_no_more_than_the_mixture(batch, start):
    sop = require(method(), Separates, "sop")
    among = np.ones((4, K), bool)
    among[1] = [False, True, False]
    got = np.asarray(jax.jit(sop.separate)(*start, batch, among))
    assert got.shape == (4, K, 2000)
    assert (np.abs(got).max(axis=-1) > 0).tolist() == among.tolist()
    assert np.abs(got).max() <= 1
    sound = batch.waveform / 32768
    energy = (got.sum(axis=1) ** 2).sum(axis=-1)
    assert (energy > 0).all() and (energy <= 1.02 * (sound**2).sum(axis=-1)).all()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("separation__mask", "soft", "config.separation.mask is 'binary' or 'ratio'"),
        ("separation__sources", 9, "config.separation.sources is 9"),
        ("sound__rows", 18, "set --config.sound.rows=16"),
    ],
)
def test_bad_settings_are_one_sentence(field, value, words):
    with pytest.raises(ValueError, match=words):
        method(**{field: value})


def test_pairs_of_mixtures_are_of_two_kinds_and_fixed():
    labels = np.array([0, 0, 1, 1, 2, -1])
    pairs = mixture_pairs(labels, 9, seed=0)
    assert pairs.shape == (9, 2)
    assert (labels[pairs[:, 0]] != labels[pairs[:, 1]]).all() and (labels[pairs] >= 0).all()
    np.testing.assert_array_equal(pairs, mixture_pairs(labels, 9, seed=0))
    assert set(pairs[:5, 0]) == {0, 1, 2, 3, 4}
    with pytest.raises(ValueError, match="one known kind only"):
        mixture_pairs(np.zeros(3, int), 4, seed=0)
