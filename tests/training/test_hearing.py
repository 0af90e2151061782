"""Hearing several kinds at once: mixtures at one level, their targets, and what is made of them."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from avloc.training.methods.mixtures import mixed_sounds
from avloc.training.preflight import check
from avloc.types import Batch
from tests.records import make_dataset, make_records
from tests.training.tiny_csol import K, method, settings

LABELS = jnp.array([0, 1, 2, 0])


def sounds_of(*levels, size=16):
    """Clip i sounds at sample i of each four, at its own level: mixtures can be taken apart."""
    made = np.zeros((len(levels), size), np.int16)
    for i, level in enumerate(levels):
        made[i, i::4] = level
    return Batch.of(np.zeros((len(levels), 1, 1, 3), np.uint8), made)


def mixed(batch, labels=LABELS, share=1.0, sources=3, gain_db=0.0, levelled=True, seed=0):
    made = mixed_sounds(
        batch, labels, share, sources, sources, gain_db, levelled, jax.random.key(seed), None
    )
    return tuple(map(np.asarray, made))


def test_clips_of_a_mixture_are_equally_loud():
    """Levelled, each clip has an RMS of 0.05 before the mean is taken, whatever it had."""
    batch = sounds_of(30000, 3000, 300, 9000)
    seen = set()
    for seed in range(6):
        sounds, held = mixed(batch, seed=seed)
        for sound, clips in zip(sounds, held, strict=True):
            count = int(clips.sum())
            for i in range(4):
                part = sound[i::4]
                expected = 0.05 * 2 / count if clips[i] else 0  # one sample of four: twice the RMS
                np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-7)
            seen.add(count)
    assert {2, 3} <= seen


def test_gains_come_after_the_level():
    batch, gains = sounds_of(30000, 3000, 300, 9000), []
    for seed in range(8):
        sounds, held = mixed(batch, sources=2, gain_db=6.0, seed=seed)
        assert (held.sum(axis=1) == 2).all()
        heard = np.stack([sounds[:, i::4].mean(axis=1) for i in range(4)], axis=1)
        gains += (20 * np.log10(heard[held > 0] / 0.05)).tolist()
    assert -6.01 < min(gains) < -4 and 4 < max(gains) < 6.01
    assert len(np.unique(np.round(gains, 4))) == len(gains) == 64


def test_single_clips_are_levelled_too_and_get_no_gain():
    sounds, held = mixed(sounds_of(30000, 3000, 300, 9000), share=0.0, gain_db=6.0)
    np.testing.assert_array_equal(held, np.eye(4))
    np.testing.assert_allclose(np.sqrt((sounds**2).mean(axis=1)), 0.05, rtol=1e-4)


def test_without_levels_sounds_are_means_as_they_are():
    batch = sounds_of(30000, 3000, 300, 9000)
    sounds, held = mixed(batch, levelled=False)
    expected = held / held.sum(axis=1, keepdims=True) @ (batch.waveform / 32768)
    np.testing.assert_allclose(sounds, expected, atol=1e-6)


def test_silence_is_not_raised():
    sounds, _ = mixed(sounds_of(0, 10, 300, 9000), share=0.0)
    assert (sounds[0] == 0).all()
    # 10 of 32768 at every fourth sample: an RMS of 1.5e-4, raised as if it were 1e-3.
    np.testing.assert_allclose(sounds[1].max(), 10 / 32768 * 0.05 / 1e-3, rtol=1e-4)
    assert np.isfinite(sounds).all()


def test_padding_is_in_no_mixture():
    batch = sounds_of(30000, 3000, 300, 9000)._replace(mask=np.array([True, True, True, False]))
    for seed in range(5):
        _, held = mixed(batch, labels=jnp.array([0, 1, 2, 5]), seed=seed)
        assert held[:3, 3].sum() == 0
        np.testing.assert_array_equal(held[3], np.eye(4)[3])


# The loss.


@pytest.fixture
def heard():
    """CSOL with given logits in place of the network; mixtures of two of four clips."""
    made = method(hearing__share=0.5, hearing__sources=2, hearing__gain_db=0.0)
    logits = np.random.default_rng(0).normal(size=(4, K)).astype(np.float32)
    out = SimpleNamespace(audio_logits=logits)
    given = []

    def forward(variables, batch):
        given.append(batch)
        return out, {"the": "statistics"}

    made._train_forward = forward
    return made, out, given


def test_targets_are_the_clusters_of_all_clips_evenly(heard):
    made, out, given = heard
    batch = sounds_of(30000, 3000, 300, 9000)._replace(
        index=np.int32([5, 0, 3, 2]), negative=np.zeros((4, 1, 1, 3), np.uint8)
    )
    labels = np.int32([1, 9, 0, 2, 9, 0])  # of items 5, 0, 3, 2: 0, 1, 2, 0
    key = jax.random.key(4)
    loss, more = made.hearing_loss({}, {"labels": jnp.asarray(labels)}, batch, key)
    sounds, held = mixed_sounds(batch, LABELS, 0.5, 2, 2, 0.0, True, key, None)
    held = np.asarray(held)
    assert sorted(held.sum(axis=1)) == [1, 1, 2, 2]
    np.testing.assert_allclose(given[0].waveform, sounds, atol=1e-7)
    assert given[0].negative is None  # no drawn picture is looked at in vain
    targets = held @ np.eye(K)[np.asarray(LABELS)]
    assert set(np.unique(targets)) == {0, 1}
    targets /= targets.sum(axis=1, keepdims=True)
    expected = -(targets * log_softmax(out.audio_logits, axis=1)).sum(axis=1).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(more.metrics["hearing"], expected, rtol=1e-5)
    among = targets[np.arange(4), out.audio_logits.argmax(axis=1)] > 0
    np.testing.assert_allclose(more.metrics["accuracy"], among.mean())
    assert more.batch_stats == {"the": "statistics"}


def test_padding_does_not_count(heard):
    made, out, _ = heard
    batch = sounds_of(30000, 3000, 300, 9000)._replace(mask=np.array([True] * 3 + [False]))
    aux = {"labels": jnp.array([0, 1, 2, 0])}
    losses = []
    for value in (0.0, 50.0):
        out.audio_logits[3] = [value, 0, 0]
        losses.append(float(made.hearing_loss({}, aux, batch, jax.random.key(1))[0]))
    assert losses[0] == losses[1]


def test_the_correspondence_goes_on_with_its_weight(heard):
    made, _, _ = heard
    seen = []

    def match(out, batch, held, spec):
        seen.append((np.asarray(held), spec))
        return jnp.float32(7.0), {"retrieval": jnp.float32(0.5), "accuracy": "not this"}

    made._match = match
    batch, aux = sounds_of(30000, 3000, 300, 9000), {"labels": LABELS}
    alone, _ = made.hearing_loss({}, aux, batch, jax.random.key(1))
    assert not seen
    made.config.hearing.localization_weight = 0.5
    both, more = made.hearing_loss({}, aux, batch, jax.random.key(1))
    np.testing.assert_allclose(both - alone, 3.5, rtol=1e-5)
    assert seen[0][1] is made.config.correspondence
    assert sorted(seen[0][0].sum(axis=1)) == [1, 1, 2, 2]
    assert more.metrics["retrieval"] == 0.5 and float(more.metrics["accuracy"]) <= 1


@pytest.mark.parametrize("field", ["epochs", "steps"])
def test_spectrograms_cannot_be_mixed(field):
    config = settings(batch_size=4)
    config.data.validation = ""
    config.hearing[field] = 1
    records = [r | {"log_mel": np.ones((201, 64), np.float32)} for r in make_records(12)]
    dataset = make_dataset(train=records, cocktail_train=records)
    with pytest.raises(ValueError, match=rf"waveforms, which config.hearing.{field} needs: set --"):
        check(config, dataset)
