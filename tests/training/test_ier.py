"""IEr by hand: mixtures, prototypes, maps, losses, and what each of them may touch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from avloc.configs.ier import base
from avloc.data_pipelines.media.audio import log_mel
from avloc.data_pipelines.media.image import normalize
from avloc.training.methods import create
from avloc.training.methods.mixtures import distinct_mixtures
from avloc.types import Batch, DatasetInfo, TrainState

K, N, C = 4, 12, 32
INFO = DatasetInfo({"train": N, "unconstrained_train": N})


def method(**fields):
    """IEr on a net of two blocks; `stage_two__targets` sets `config.stage_two.targets`."""
    config = base()
    config.image_size, config.clusters = 32, K
    config.model.update(dict(width=4, blocks=(1, 0, 0, 1), stem_pool=False, embedding=16))
    config.identifier.middle = 8
    for name, value in fields.items():
        *parents, leaf = name.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return create(config, INFO)


@pytest.fixture(scope="module")
def batch():
    """Six items with pseudo labels 0, 1, 2, 3, 0, 1; the last is padding."""
    rng = np.random.default_rng(0)
    made = Batch.of(
        rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8),
        (rng.normal(size=(6, 16000)) * 3000).astype(np.int16),
    )
    return made._replace(mask=np.array([True] * 5 + [False]))


@pytest.fixture(scope="module")
def start(batch):
    """Variables whose steps are not zero, and aux with prototypes that are not alike."""
    variables, aux = jax.jit(method().init)(jax.random.key(0), batch)
    variables = jax.tree.map(np.asarray, variables)
    rng = np.random.default_rng(1)
    params = variables["params"]
    biases = rng.normal(size=(K, C)).astype(np.float32)
    params = {**params, "identifier": {**params["identifier"], "biases": biases}}
    drawn = {
        name: rng.uniform(0, 1, (K, C)).astype(np.float32)
        for name in ("dictionary", "centroids", "audio_prototypes")
    }
    means = {
        name: rng.uniform(0, 0.3, C).astype(np.float32)
        for name in ("feature_mean", "cell_mean", "audio_mean")
    }
    labels = np.arange(N, dtype=np.int32) % K
    aux = jax.tree.map(np.asarray, dict(aux)) | drawn | means | {"labels": labels}
    return {**variables, "params": params}, aux


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# Mixtures.

LABELS = jnp.array([0, 1, 2, 3, 0, 1, 2, 0])
REAL = jnp.array([True] * 7 + [False])


def drawn(share, most, seeds=20, labels=LABELS, mask=REAL, limit=4):
    mix = jax.jit(distinct_mixtures, static_argnums=4)
    keys = jax.random.split(jax.random.key(0), seeds)
    return [np.asarray(mix(labels, mask, share, most, limit, key)) for key in keys]


def test_a_share_of_nothing_leaves_clips_alone():
    for held in drawn(0.0, 4.0):
        np.testing.assert_array_equal(held, np.eye(8))


@pytest.mark.parametrize("most", [2, 3, 4])
def test_mixtures_hold_their_own_clip_and_others_of_other_labels(most):
    sizes = set()
    for held in drawn(1.0, float(most)):
        assert (held.diagonal() == 1).all()
        for row in held:
            inside = np.asarray(LABELS)[row > 0]
            assert len(set(inside)) == len(inside)
            sizes.add(len(inside))
        np.testing.assert_array_equal(held[7], np.eye(8)[7])  # padding mixes with nothing
        assert held[:7, 7].sum() == 0
    assert sizes == {1, *range(2, most + 1)}  # 1 is the padding's


@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.25, 2)])
def test_the_share_of_mixtures_is_exact(share, count):
    for held in drawn(share, 2.0, mask=jnp.ones(8, bool)):
        assert (held.sum(axis=1) == 2).sum() == count
        assert (held.sum(axis=1) == 1).sum() == 8 - count


def test_who_is_mixed_with_whom_depends_on_the_key():
    assert len({held.tobytes() for held in drawn(1.0, 3.0)}) == 20


def test_a_batch_of_two_labels_has_no_mixture_of_three():
    for held in drawn(1.0, 4.0, labels=jnp.array([0, 0, 1, 1, 1, 0, 0, 1])):
        assert held.sum(axis=1).max() == 2


def test_sounds_of_mixtures_are_averages(batch, start):
    ier = method(identification__share=(1.0, 1.0))
    sounds, held = ier.mix(start[1], batch, jax.random.key(3))
    held = np.asarray(held)
    expected = held / held.sum(axis=1, keepdims=True) @ (batch.waveform / 32768.0)
    assert (held.sum(axis=1)[:5] > 1).all()
    np.testing.assert_allclose(sounds, expected, atol=1e-6)


def test_gains_of_mixtures_stay_in_their_range_and_single_clips_as_they_are(batch, start):
    ier = method(identification__share=(0.5, 0.5), identification__gain_db=6.0)
    tones = np.eye(6, 16000, dtype=np.int16) * 16384  # clip i alone has sample i
    sounds, held = ier.mix(start[1], batch._replace(waveform=tones), jax.random.key(3))
    sounds, held = np.asarray(sounds)[:, :6], np.asarray(held)
    several = held.sum(axis=1) > 1
    assert several.sum() == 3
    np.testing.assert_allclose(sounds[~several], 0.5 * held[~several])
    gains = 20 * np.log10(
        (sounds * held.sum(axis=1, keepdims=True) / 0.5)[several][held[several] > 0]
    )
    assert np.abs(gains).max() <= 6
    assert np.ptp(gains) > 1


@pytest.mark.parametrize(
    ("progress", "share", "most"), [(0.0, 0.5, 2), (0.5, 0.75, 3), (1, 1.0, 4)]
)
def test_the_curriculum_moves_without_compiling_again(batch, start, progress, share, most):
    big = jax.tree.map(lambda x: None if x is None else np.concatenate([x[:4]] * 3), batch)
    ier, aux = method(identification__share=(0.5, 1.0)), start[1]
    mix = jax.jit(lambda aux, key: ier.mix(aux, big, key)[1])
    sizes = []
    for number in range(8):
        aux = {**aux, "progress": np.float32(progress)}
        held = np.asarray(mix(aux, jax.random.key(number)))
        assert (held.sum(axis=1) > 1).mean() == share
        sizes.append(held.sum(axis=1).max())
    assert max(sizes) == most
    mix({**aux, "progress": np.float32(0.123)}, jax.random.key(0))
    assert mix._cache_size() == 1


# Prototypes.


def test_audio_prototypes_are_means_of_the_clips_of_a_label(start):
    features = np.random.default_rng(5).normal(size=(N, C)).astype(np.float32)
    state = TrainState(start[0], {}, start[1], np.int32(0))
    got = method().audio_prototypes(state, lambda f, s, split: features, None, progress=0.25).aux
    expected = [features[start[1]["labels"] == k].mean(axis=0) for k in range(K)]
    np.testing.assert_allclose(got["audio_prototypes"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got["audio_mean"], features.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert got["progress"] == 0.25


def test_audio_prototypes_are_of_this_epochs_network(batch, start):
    """What is scanned is `g`, by running statistics, of today's variables."""
    ier = method()
    louder = {**start[0], "params": jax.tree.map(lambda x: 1.5 * x, start[0]["params"])}
    seen = []

    def scan(f, state, split):
        seen.append(np.asarray(f(state.variables, state.aux, batch)))
        return np.concatenate([seen[-1][:4]] * 3)

    for variables in (start[0], louder):
        ier.audio_prototypes(TrainState(variables, {}, start[1], 0), scan, None, progress=0.0)
    assert np.abs(seen[0] - seen[1]).max() > 1e-3


def test_nan_in_a_prototype_is_one_sentence(start):
    state = TrainState(start[0], {}, start[1], np.int32(0))
    with pytest.raises(ValueError, match="12 of 12 audio features of split train hold NaN"):
        method().audio_prototypes(state, lambda *_: np.full((N, C), np.nan), None, progress=0.0)


def test_a_label_without_clips_is_one_sentence(start):
    aux = {**start[1], "labels": np.zeros(N, np.int32)}
    features = np.ones((N, C), np.float32)
    state = TrainState(start[0], {}, aux, np.int32(0))
    with pytest.raises(ValueError, match="3 of 4 clusters have no clip"):
        method().audio_prototypes(state, lambda *_: features, None, progress=0.0)


def test_every_identification_epoch_begins_with_new_prototypes_and_later_progress(start):
    ier = method(identification__epochs=3)
    phases = [p for p in ier.phases() if p.name in ("identification", "audio prototypes")]
    state = TrainState(start[0], {}, start[1], np.int32(0))
    features = np.random.default_rng(5).normal(size=(N, C)).astype(np.float32)
    found = [float(p.refresh(state, lambda *_: features, None).aux["progress"]) for p in phases]
    assert found == [0, 0.5, 1, 1]
    assert [p.epochs for p in phases] == [1, 1, 1, 0]


# Predictions.


@pytest.mark.parametrize("similarity", ["cosine", "centred_cosine"])
@pytest.mark.parametrize("silent", [True, False])
def test_predictions_by_hand(batch, start, similarity, silent):
    ier = method(prototypes__similarity=similarity, stage_two__silent_filter=silent)
    variables, aux = start
    out = jax.jit(ier._forward)(variables, batch)
    got = jax.jit(ier.predict)(variables, aux, batch)
    cells, sounds = (
        (aux["cell_mean"], aux["audio_mean"]) if similarity == "centred_cosine" else (0, 0)
    )
    maps = np.clip(unit(np.asarray(out.f) - cells) @ unit(aux["dictionary"] - cells).T, 0, 1)
    expanded = np.asarray(out.g)[:, None] + variables["params"]["identifier"]["biases"]
    if silent:
        a = unit(np.asarray(out.instances.a))
        maps = maps * expit(5 * np.einsum("bhwd,bkd->bhwk", np.asarray(out.v), a))
    near = (unit(expanded - sounds) * unit(aux["audio_prototypes"] - sounds)).sum(-1)
    heard = expit(10 * near - 5)
    np.testing.assert_allclose(got.maps, maps, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(got.heard, heard, rtol=1e-3, atol=1e-4)
    expected = np.sqrt(heard * maps.max(axis=(1, 2)))
    np.testing.assert_allclose(got.scores, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(got.localization, np.asarray(got.maps).max(-1))
    np.testing.assert_array_equal(got.cluster, np.asarray(got.maps).mean((1, 2)).argmax(-1))
    assert got.maps.min() >= 0
    assert got.maps.max() <= 1


# Losses.


def test_single_clips_are_compared_without_steps_and_mixtures_with(batch, start):
    """IEr eq. 8 and 2 on one batch: half of its sounds are mixtures."""
    ier = method(identification__share=(0.5, 0.5))
    variables, aux = start
    key = jax.random.key(7)
    sounds, held = ier.mix(aux, batch, key)
    held = np.asarray(held)
    loss, out = jax.jit(ier.identification_loss)(variables, aux, batch, key)
    heard = ier.net.apply(
        variables,
        normalize(batch.image),
        log_mel(sounds),
        False,
        True,
        method="see_and_identify",
        mutable=["batch_stats"],
    )[0]
    g = np.asarray(heard.g)
    prototypes = unit(aux["audio_prototypes"])
    single = unit(g) @ prototypes.T
    expanded = g[:, None] + variables["params"]["identifier"]["biases"]
    several = (unit(expanded) * prototypes).sum(-1)
    p = expit(10 * np.where(held.sum(1, keepdims=True) > 1, several, single) - 5)
    labels = np.eye(K)[aux["labels"][batch.index]]
    present = held @ labels > 0
    expected = log_loss(present[:5].ravel(), p[:5].ravel())
    np.testing.assert_allclose(out.metrics["identification"], expected, rtol=2e-3)
    np.testing.assert_allclose(loss, expected, rtol=2e-3)


def gradient(loss, start, batch, aux=None):
    variables, own = start

    def value(params, given):
        return loss({**variables, "params": params}, given, batch, jax.random.key(7))

    floats = {name: x for name, x in (aux or own).items() if name not in ("labels", "teacher")}
    rest = {name: jax.tree.map(jnp.asarray, own[name]) for name in ("labels", "teacher")}
    return jax.jit(jax.grad(lambda p, a: value(p, {**a, **rest})[0], argnums=(0, 1)))(
        variables["params"], floats
    )


def moved(tree):
    return any(np.abs(x).max() > 0 for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_identification_leaves_sight_alone(batch, start, weight):
    ier = method(identification__localization_weight=weight)
    to_params, _ = gradient(ier.identification_loss, start, batch)
    assert moved(to_params["audio"])
    assert moved(to_params["identifier"])
    assert not moved(to_params["visual"])
    assert moved(to_params["correspondence"]) == bool(weight)


def test_the_referrer_by_hand(batch, start):
    """`L_u` of eq. 3 to 6 with the batch mean as mask rule."""
    ier = method(stage_two__localization_weight=0.0, stage_two__visual_scale=3.0)
    variables, aux = start
    value, out = jax.jit(ier.referral_loss)(variables, aux, batch, jax.random.key(0))
    embedded = ier.net.apply(
        variables,
        normalize(batch.image),
        log_mel(batch.waveform),
        True,
        True,
        method="see_and_identify",
        mutable=["batch_stats"],
    )[0]
    maps, visual = (np.asarray(x, np.float64)[:5] for x in ier.maps(embedded, aux))
    heard = np.asarray(ier.heard(embedded, aux), np.float64)[:5]
    share = (visual > visual.mean(axis=(0, 1, 2))).mean(axis=(1, 2))
    joint = share * heard
    p_av = softmax(joint / joint.sum(axis=1, keepdims=True), axis=1)
    p_va = softmax(3 * maps.mean(axis=(1, 2)), axis=1)
    expected = 0.5 * (entropy(p_va, p_av, axis=1) + entropy(p_av, p_va, axis=1)).mean()
    np.testing.assert_allclose(out.metrics["distillation"], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(value, out.metrics["distillation"], rtol=1e-6)


def test_an_audio_network_of_rate_zero_stands_still(batch, start):
    still = method(stage_two__localization_weight=0.0)
    with still.config.unlocked():
        still.config.optimizers.referral.learning_rates.audio = 0.0
    for ier, trains in ((method(stage_two__localization_weight=0.0), True), (still, False)):
        to_params, _ = gradient(ier.referral_loss, start, batch)
        assert moved(to_params["audio"]) == trains
        assert moved(to_params["visual"])
        stats = jax.jit(ier.referral_loss)(*start, batch, jax.random.key(0))[1].batch_stats
        changed = jax.tree.map(
            lambda x, y: (np.asarray(x) != y).any(),
            stats["audio"],
            start[0]["batch_stats"]["audio"],
        )
        assert any(jax.tree.leaves(changed)) == trains


@pytest.mark.parametrize("loss", ["identification_loss", "referral_loss"])
def test_losses_leave_padding_out_and_have_finite_gradients(batch, start, loss):
    ier = method(identification__share=(0.0, 0.0))
    call = jax.jit(getattr(ier, loss))
    other = batch._replace(index=batch.index.copy())
    other.index[5] = 3  # another pseudo label for the padding
    values = [float(call(*start, b, jax.random.key(1))[0]) for b in (batch, other)]
    assert values[0] == values[1]
    assert all(
        np.isfinite(x).all() for x in jax.tree.leaves(gradient(getattr(ier, loss), start, batch)[0])
    )


def test_stages_and_their_order():
    ier = method(stage_one__epochs=2, identification__epochs=2)
    named = [p.checkpoint_name for p in ier.phases() if p.checkpoint_name]
    assert named == ["stage_one", "identification", "stage_two"]
    assert [p.name for p in ier.phases()] == [p.name for p in ier.phases()]


def test_without_a_stage_two_nothing_follows_the_identifier():
    assert [p.name for p in method(stage_two__epochs=0).phases()][-1] == "audio prototypes"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"identification__sources": (2, 5)}, "mixtures of 5 clips .* config.clusters is 4"),
        ({"identification__sources": (1, 2)}, "sources is two numbers from 2 up"),
        ({"identification__share": (0.9, 0.5)}, "share is two shares from 0 to 1"),
    ],
)
def test_a_curriculum_that_cannot_be(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        method(**fields)


def test_without_mixtures_their_size_does_not_matter():
    method(identification__share=(0.0, 0.0), identification__sources=(2, 5))


def test_what_a_loss_does_not_reach_stands_still(batch, start):
    """Decay goes through Adam's moments, and would move it at the full rate."""
    ier = method(identification__share=(0.5, 0.5))
    for phase in {p.name: p for p in ier.phases() if p.epochs}.values():
        to_params, _ = gradient(phase.loss, start, batch)
        rates = ier.config.optimizers[phase.optimizer].learning_rates
        for name, tree in to_params.items():
            head_of_its_own = name in ("visual_classifier", "audio_classifier", "correspondence")
            if phase.name in ("localization", "classification") and head_of_its_own:
                continue  # made anew in each turn, or, as in the papers, worn
            assert moved(tree) or rates.get(name, rates.default) == 0, (phase.name, name)
