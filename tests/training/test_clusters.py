"""What clips are clustered by: sight, or sight and sound about their means; and standard maps."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from avloc.machine.devices import Devices
from avloc.training.methods import create
from avloc.training.scan import scan_split
from avloc.types import Batch, DatasetInfo, TrainState
from tests.records import make_dataset, make_records
from tests.training.test_ier import method as ier
from tests.training.tiny_csol import K, N, method

RNG = np.random.default_rng(0)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# What is clustered.


def test_by_sight_alone_the_direction_counts():
    rows = RNG.normal(size=(5, 4)).astype(np.float32)
    made = method().clustered(rows, None, {})  # sounds and means are not looked at
    np.testing.assert_allclose(made, unit(rows), rtol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_sight_and_sound_stand_side_by_side_about_their_means(weight):
    rows = RNG.normal(3, 1, size=(5, 4)).astype(np.float32)
    sounds = unit(RNG.normal(1, 1, size=(5, 3))).astype(np.float32)
    means = {"feature_mean": rows.mean(0), "sound_mean": sounds.mean(0)}
    made = method(representation_sound=weight).clustered(rows, sounds, means)
    expected = [unit(rows - rows.mean(0)), weight * unit(sounds - sounds.mean(0))]
    np.testing.assert_allclose(made, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), np.sqrt(1 + weight**2), rtol=1e-5)


def sounding(**fields):
    """Sight tells groups 0 and 1 from 2; sound tells 0 from 1 and 2: only both tell all three."""
    made = method(representation_sound=1.0, **fields)
    truth = np.arange(N) % K
    noise = np.random.default_rng(1).normal(size=(2, N, 32)) * 0.02
    rows = 5 + np.eye(32)[[0, 0, 1]][truth] + noise[0]
    sounds = unit(np.eye(32)[[0, 1, 1]][truth] + 0.3 + noise[1])
    heads = {n: {"kernel": jnp.zeros((32, K))} for n in ("visual_classifier", "audio_classifier")}
    aux = {"labels": jnp.zeros(N, jnp.int32)}
    state = TrainState({"params": heads}, {"classification": ()}, aux, 0)
    scan = lambda f, s, split: tuple(map(np.float32, (rows, rows + 1, sounds)))  # noqa: E731
    return made, state, scan, truth, np.float32(rows), np.float32(sounds)


def test_only_both_tell_all_kinds_apart():
    made, state, scan, truth, rows, sounds = sounding()
    after = made.relabel(state, scan, jax.random.key(0))
    labels = np.asarray(after.aux["labels"])
    assert len({*zip(labels.tolist(), truth.tolist(), strict=True)}) == K
    alone = method().relabel(state, scan, jax.random.key(0))
    pairs = {*zip(np.asarray(alone.aux["labels"]).tolist(), truth.tolist(), strict=True)}
    assert len(pairs) > K
    # Means of today, by hand, of which later clips are told.
    np.testing.assert_allclose(after.aux["sound_mean"], sounds.mean(0), atol=1e-5)
    np.testing.assert_allclose(after.aux["feature_mean"], rows.mean(0), rtol=1e-5)
    joint = np.concatenate([unit(rows - rows.mean(0)), unit(sounds - sounds.mean(0))], axis=1)
    for k in range(K):
        np.testing.assert_allclose(after.aux["centroids"][k], joint[labels == k].mean(0), atol=1e-4)
        np.testing.assert_allclose(after.aux["dictionary"][k], rows[labels == k].mean(0), rtol=1e-4)
    assert "sound_mean" not in alone.aux


def test_a_clip_is_of_the_cluster_that_it_was_put_in():
    made, state, scan, _, rows, sounds = sounding()
    aux = made.relabel(state, scan, jax.random.key(0)).aux
    out = SimpleNamespace(f=rows[:, None, None], a=sounds)
    found = made.cluster_of(out, jnp.ones((N, 1, 1)), aux)
    np.testing.assert_array_equal(found, aux["labels"])


def test_later_the_dictionary_keeps_labels_and_moves_keys():
    made, state, scan, *_ = sounding()
    before = made.relabel(state, scan, jax.random.key(0))
    louder = lambda *given: tuple(2 * x for x in scan(*given))  # noqa: E731
    after = made.build_dictionary(before, louder, jax.random.key(1))
    np.testing.assert_array_equal(after.aux["labels"], before.aux["labels"])
    np.testing.assert_allclose(after.aux["dictionary"], 2 * before.aux["dictionary"], rtol=1e-5)
    np.testing.assert_allclose(after.aux["centroids"], before.aux["centroids"], atol=1e-4)


def test_shapes_at_the_start_are_those_of_the_end():
    """Checkpoints are read by them."""
    made, state, scan, *_ = sounding()
    after = made.relabel(state, scan, jax.random.key(0)).aux
    batch = example()
    start = jax.eval_shape(lambda key: made.init(key, batch), jax.random.key(0))[1]
    for name in ("labels", "dictionary", "centroids", "feature_mean", "cell_mean", "sound_mean"):
        a, b = start[name], jnp.asarray(after[name])
        assert (a.shape, a.dtype) == (b.shape, b.dtype), name


def example(size=2):
    return Batch.of(np.zeros((size, 32, 32, 3), np.uint8), np.zeros((size, 16000), np.int16))


# IEr.


def ier_state(made, labels):
    batch = example()
    variables, aux = jax.eval_shape(lambda key: made.init(key, batch), jax.random.key(0))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (variables, dict(aux)))
    return TrainState(zeros[0], {}, zeros[1] | {"labels": labels}, np.int32(0))


def ier_scan(made, features, rows, sounds):
    """What each scan gives, by the step that it is asked for."""

    def scan(f, state, split):
        if f == made._hear_step:
            return features
        assert f == made._scan_step
        return rows, rows / 2, sounds

    return scan


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_last_prototypes_take_clusters_along_where_these_are_of_sounds(weight):
    made = ier(representation_sound=weight)
    labels = np.arange(12, dtype=np.int32) % 4
    features = RNG.normal(size=(12, 32)).astype(np.float32)
    rows = RNG.normal(size=(12, 32)).astype(np.float32)
    sounds = unit(RNG.normal(size=(12, 16))).astype(np.float32)
    state = ier_state(made, labels)
    after = made.last_prototypes(state, ier_scan(made, features, rows, sounds), None).aux
    means = [features[labels == k].mean(0) for k in range(4)]
    np.testing.assert_allclose(after["audio_prototypes"], means, rtol=1e-4, atol=1e-5)
    assert after["progress"] == 1
    np.testing.assert_array_equal(after["labels"], labels)
    if weight:
        np.testing.assert_allclose(after["sound_mean"], sounds.mean(0), atol=1e-5)
        keys = [rows[labels == k].mean(0) for k in range(4)]
        np.testing.assert_allclose(after["dictionary"], keys, rtol=1e-4, atol=1e-5)
    else:
        assert not after["dictionary"].any()
    (last,) = [p for p in made.phases() if p.checkpoint_name == "identification"]
    assert last.refresh == made.last_prototypes


@pytest.mark.parametrize("heard_filter", [False, True])
def test_maps_are_filtered_by_what_is_heard(heard_filter):
    made = ier(stage_two__heard_filter=heard_filter)
    maps = RNG.uniform(size=(2, 3, 3, 4)).astype(np.float32)
    heard = np.float32([[1, 0, 0.5, 0.2], [0.1, 0.9, 0.4, 1]])
    sounds = RNG.uniform(size=(2, 3, 3)).astype(np.float32)
    made._forward = lambda variables, batch: SimpleNamespace(localization=lambda: sounds)
    made.maps = lambda out, aux: (maps, None)
    made.heard = lambda out, aux: heard
    got = made.predict({}, {}, None)
    expected = maps
    if heard_filter:
        expected = maps * sounds[..., None] * np.sqrt(heard)[:, None, None]
    np.testing.assert_allclose(got.maps, expected, rtol=1e-6)
    np.testing.assert_allclose(got.localization, expected.max(-1), rtol=1e-6)
    # What is heard counts once in the score.
    np.testing.assert_allclose(got.scores, np.sqrt(heard * maps.max((1, 2))), rtol=1e-5)
    np.testing.assert_array_equal(got.heard, heard)


def test_with_sounds_a_clip_is_of_the_nearest_cluster():
    made = ier(representation_sound=1.0)
    out = SimpleNamespace(
        f=np.eye(4, 32, dtype=np.float32)[:, None, None],
        a=np.eye(4, 16, dtype=np.float32),
        localization=lambda: jnp.ones((4, 1, 1)),
    )
    made._forward = lambda variables, batch: out
    made.maps = lambda out, aux: (jnp.ones((4, 1, 1, 4)), None)
    made.heard = lambda out, aux: jnp.ones((4, 4))
    means = {"feature_mean": np.zeros(32), "sound_mean": np.zeros(16)}
    rows = np.concatenate([np.eye(4, 32), np.eye(4, 16)], axis=1)
    aux = {**means, "centroids": np.float32(rows[[2, 0, 3, 1]])}
    np.testing.assert_array_equal(made.predict({}, aux, None).cluster, [1, 3, 0, 2])


# CSOL's maps where nothing is learnt from scenes.


def csol_predicting(maps):
    """CSOL with given source maps and logits of what is heard."""
    made = method(stage_two__maps=maps)
    s = RNG.normal(size=(2, 3, 3, K)).astype(np.float32)
    logits = RNG.normal(size=(2, K)).astype(np.float32)
    made._forward = lambda variables, batch: SimpleNamespace(
        f=None, localization=lambda: np.full((2, 3, 3), 0.25, np.float32)
    )
    made._source_maps = lambda f, localization, variables, aux: jnp.asarray(s)
    made._teach = lambda aux, batch: jnp.asarray(logits)
    made.cluster_of = lambda out, localization, aux: np.zeros(2, int)
    return made.predict({}, {}, None), s.astype(np.float64), softmax(logits, axis=1)


def test_maps_by_what_is_seen_and_heard():
    got, s, heard = csol_predicting("heard")
    seen = np.clip(s, 0, 1)
    expected = seen * np.sqrt(heard)[:, None, None]
    np.testing.assert_allclose(got.maps, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got.localization, expected.max(-1), rtol=1e-5)
    # What is heard counts once in the score.
    np.testing.assert_allclose(got.scores, np.sqrt(heard * seen.max((1, 2))), rtol=1e-5)


def test_the_papers_maps_stay():
    got, s, heard = csol_predicting("softmax")
    np.testing.assert_allclose(got.maps, softmax(s, axis=-1), rtol=1e-4)
    np.testing.assert_allclose(got.scores, np.sqrt(heard * softmax(s, -1).max((1, 2))), rtol=1e-4)
    assert (got.localization == 0.25).all()


def test_other_maps_are_refused():
    with pytest.raises(ValueError, match=r"stage_two\.maps is 'softmax' or 'heard', not 'herd'"):
        csol_predicting("herd")


# Standard maps.


@pytest.fixture(scope="module")
def standard():
    """CSOL with standardized maps on 12 pictures of noise, after the phase that sets them."""
    made = method(model__standardized=True, batch_size=5)
    records = make_records(N, videos=N)
    rng = np.random.default_rng(5)
    for record in records:
        record["frames"] = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)]
    dataset = make_dataset(train=records, cocktail_train=records)
    variables, aux = made.init(jax.random.key(0), example())
    state = TrainState(variables, {}, aux, np.int32(0))
    devices = Devices()

    def scan(f, state, split):
        return scan_split(f, state, dataset, split, made.config, devices)

    first = next(made.phases())
    assert (first.name, first.epochs) == ("standardization", 0)
    return made, first.refresh(state, scan, None), scan, state


def test_standard_maps_have_mean_0_and_deviation_1_over_the_split(standard):
    made, after, scan, _ = standard

    def maps(variables, aux, batch):
        return made._forward(variables, batch).f

    f = scan(maps, after, "train")
    assert f.shape[0] == N  # padding is left out
    flat = f.reshape(-1, f.shape[-1]).astype(np.float64)
    raw = scan(made.look, after, "train").reshape(flat.shape)
    alive = raw.std(axis=0) > 1e-3
    assert alive.sum() > 8
    np.testing.assert_allclose(flat.mean(0)[alive], 0, atol=1e-4)
    np.testing.assert_allclose(flat.std(0)[alive], 1, atol=1e-3)
    assert np.isfinite(flat).all()  # a channel that never answers is not divided by 0
    expected = (raw - raw.mean(0)) / np.maximum(raw.std(0), 1e-4)
    np.testing.assert_allclose(flat[:, alive], expected[:, alive], rtol=1e-2, atol=1e-3)


def test_stored_maps_are_standardized_the_same(standard):
    """`features` of a batch stand in place of pictures, before the mean is taken off."""
    made, after, *_ = standard
    batch = example(3)._replace(image=RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    raw = made.look(after.variables, {}, batch)
    stored = batch._replace(image=np.zeros((3, 1, 1, 3), np.uint8), features=raw)
    own, other = (made._forward(after.variables, b) for b in (batch, stored))
    for name in ("f", "v", "a", "visual_logits"):
        np.testing.assert_allclose(getattr(own, name), getattr(other, name), rtol=1e-5, atol=1e-6)
    for a, b in zip(made._moments_step(after.variables, {}, batch),
                    made._moments_step(after.variables, {}, stored), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_no_step_changes_the_standard(standard):
    made, after, *_ = standard
    batch = example(4)._replace(image=RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
    _, out = made.warmup_loss(after.variables, after.aux, batch, jax.random.key(0))
    for name in ("mean", "deviation"):
        np.testing.assert_array_equal(
            out.batch_stats["standard"][name], after.variables["batch_stats"]["standard"][name]
        )
    changed = jax.tree.map(lambda x, y: bool((x != y).any()), out.batch_stats["audio"],
                           after.variables["batch_stats"]["audio"])  # fmt: skip
    assert any(jax.tree.leaves(changed))


def test_axis_of_pmap_is_not_asked_for_in_a_scan():
    """Scans see the whole batch; a collective of an axis that is not there would fail."""
    made = create(method().config, DatasetInfo({"train": N, "cocktail_train": N}), "data")
    variables, aux = method().init(jax.random.key(0), example())
    good, real = made._retrieval_step(variables, aux, example(3))
    assert good.shape == real.shape == (3,)
