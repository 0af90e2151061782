"""CSOL by hand: labels, dictionary, source maps, losses, and what each of them may touch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit, log_softmax, softmax
from scipy.stats import entropy

from avloc.data_pipelines.media.audio import log_mel
from avloc.data_pipelines.media.image import normalize
from avloc.training.optimizers import make_optimizer
from avloc.training.step import make_step
from avloc.types import Batch, TrainState
from tests.training.tiny_csol import HEADS, K, N, method


@pytest.fixture(scope="module")
def batch():
    """Six items of four videos; the last is padding."""
    rng = np.random.default_rng(0)
    made = Batch.of(
        rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8),
        (rng.normal(size=(6, 16000)) * 3000).astype(np.int16),
    )
    return made._replace(
        video=np.int32([0, 1, 2, 1, 3, 0]),
        index=np.int32([4, 7, 1, 2, 11, 0]),
        mask=np.array([True] * 5 + [False]),
    )


@pytest.fixture(scope="module")
def start(batch):
    """Variables and aux, with a dictionary, centroids and labels that are not alike."""
    variables, aux = jax.jit(method().init)(jax.random.key(0), batch)
    variables = jax.tree.map(np.asarray, variables)
    rng = np.random.default_rng(1)
    return variables, jax.tree.map(np.asarray, dict(aux)) | {
        "dictionary": rng.uniform(0, 1, (K, 32)).astype(np.float32),
        "centroids": rng.uniform(0, 1, (K, 32)).astype(np.float32),
        "feature_mean": rng.uniform(0, 0.5, 32).astype(np.float32),
        "labels": np.arange(N, dtype=np.int32) % K,
    }


@pytest.fixture(scope="module")
def embed(start, batch):
    """The network's intermediates for a batch: by its running statistics, or by the batch's."""
    net = method().net

    @jax.jit
    def evaluated(image, waveform):
        return net.apply(start[0], normalize(image), log_mel(waveform))

    @jax.jit
    def trained(image, waveform):
        mutable = {"mutable": ["batch_stats"]}
        return net.apply(start[0], normalize(image), log_mel(waveform), True, **mutable)[0]

    def call(train=False, waveform=batch.waveform):
        out = (trained if train else evaluated)(batch.image, waveform)
        return jax.tree.map(np.asarray, out), np.asarray(out.localization())

    return call


# The plan.


def test_phases_alternate():
    made = method(stage_one__warmup_epochs=4, stage_one__epochs=3, stage_one__zoom_out=0.25)
    phases = list(made.phases())
    assert [(p.name, p.split, p.epochs, p.optimizer) for p in phases] == [
        ("warm-up", "train", 4, "localization"),
        ("localization", "train", 1, "localization"),
        ("localization", "train", 1, "localization"),
        ("classification", "train", 3, "classification"),
        ("localization", "train", 1, "localization"),
        ("classification", "train", 3, "classification"),
        ("dictionary", "train", 0, "localization"),
        ("matching", "cocktail_train", 5, "matching"),
    ]
    assert [p.name for p in made.phases()] == [p.name for p in phases]
    assert [p.checkpoint_name for p in phases if p.checkpoint_name] == ["stage_one", "stage_two"]
    assert {p.name for p in phases if p.refresh} == {"classification", "dictionary"}
    assert {p.zoom_out for p in phases if p.name in ("warm-up", "matching")} == {0}


def test_sounds_are_mixed_after_some_epochs():
    made = method(stage_one__mixtures=0.5, stage_one__mixtures_after=1, stage_one__epochs=2)
    phases = [p for p in made.phases() if p.name.endswith("localization")]
    assert [p.name for p in phases] == ["localization", "mixed localization"]
    assert [p.aux["mixtures"] for p in phases] == [0.0, 0.5]
    assert phases[0].loss == phases[1].loss  # so they share a compiled step


def test_stage_two_may_be_left_out():
    names = [p.name for p in method(stage_two__epochs=0, stage_one__epochs=1).phases()]
    assert names == ["localization", "dictionary"]


def test_classification_stops_when_accuracy_saturates():
    made = method(stage_one__saturation=0.01)
    stop = next(p.stop for p in made.phases() if p.name == "classification")
    history = [{"accuracy": a} for a in (0.5, 0.6, 0.605)]
    assert [stop(history[:n]) for n in (1, 2, 3)] == [False, False, True]


# Labels and dictionary.


def scanned(rows):
    """Representations, cells whose mean is half of theirs, and sounds."""
    return lambda f, state, split: (rows, rows / 2, rows / 3) if split == "train" else 1 / 0


@pytest.fixture(scope="module")
def clustered(start):
    """A state before and after `relabel`, with its representations and true groups."""
    rng = np.random.default_rng(2)
    truth = np.arange(N) % K
    directions = np.eye(K, 32)[truth] + rng.normal(size=(N, 32)) * 0.01
    # Lengths differ much more than directions: they must not decide.
    rows = (directions * rng.uniform(1, 20, (N, 1))).astype(np.float32)
    made = method()
    optimizers = {name: make_optimizer(spec) for name, spec in made.config.optimizers.items()}
    state = TrainState(
        start[0], {n: o.init(start[0]["params"]) for n, o in optimizers.items()}, start[1], 0
    )
    ones = jax.tree.map(jnp.ones_like, start[0]["params"])
    moved = {
        n: o.update(ones, state.optimizers[n], start[0]["params"])[1] for n, o in optimizers.items()
    }
    state = state._replace(optimizers=moved)
    refresh = next(p.refresh for p in made.phases() if p.name == "classification")
    return state, refresh(state, scanned(rows), jax.random.key(0)), rows, truth


def test_labels_follow_the_groups(clustered):
    _, after, _, truth = clustered
    labels = np.asarray(after.aux["labels"])
    assert len({*zip(labels.tolist(), truth.tolist(), strict=True)}) == K
    assert labels.dtype == np.int32 and set(labels) == set(range(K))


def test_dictionary_keys_are_means_of_unnormalised_representations(clustered):
    _, after, rows, _ = clustered
    labels = np.asarray(after.aux["labels"])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for k in range(K):
        np.testing.assert_allclose(
            after.aux["dictionary"][k], rows[labels == k].mean(0), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            after.aux["centroids"][k], unit[labels == k].mean(0), rtol=1e-4, atol=1e-4
        )
    np.testing.assert_allclose(after.aux["feature_mean"], rows.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after.aux["cell_mean"], rows.mean(0) / 2, rtol=1e-4, atol=1e-4)


def test_relabelling_makes_new_heads_and_forgets_their_moments(clustered):
    before, after, _, _ = clustered
    for name, old in before.variables["params"].items():
        new = after.variables["params"][name]
        if name in HEADS:
            assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, old)
            assert (np.asarray(new["kernel"]) != old["kernel"]).all()
        else:
            jax.tree.map(np.testing.assert_array_equal, new, old)
    leaves = jax.tree_util.tree_leaves_with_path(after.optimizers["classification"])
    kinds = {True: [], False: []}
    for path, leaf in leaves:
        of_head = any(getattr(part, "key", None) in HEADS for part in path)
        kinds[of_head].append(np.abs(leaf).max())
    assert len(kinds[True]) >= 8 and max(kinds[True]) == 0 and min(kinds[False]) > 0
    for name in ("localization", "matching"):
        assert after.optimizers[name] is before.optimizers[name]


def test_the_end_of_stage_one_keeps_labels_and_freezes_the_teacher(clustered):
    state, _, rows, _ = clustered
    refresh = next(p.refresh for p in method().phases() if p.name == "dictionary")
    after = refresh(state, scanned(rows), jax.random.key(0))
    labels = state.aux["labels"]
    np.testing.assert_array_equal(after.aux["labels"], labels)
    keys = np.stack([rows[labels == k].mean(0) for k in range(K)])
    np.testing.assert_allclose(after.aux["dictionary"], keys, rtol=1e-4, atol=1e-4)
    assert after.variables is state.variables
    for module in ("audio", "audio_classifier"):
        teacher = after.aux["teacher"]["params"][module]
        jax.tree.map(np.testing.assert_array_equal, teacher, state.variables["params"][module])


def test_representations_of_the_scan(start, batch, embed):
    """What `relabel` clusters: CSOL's weighted mean of the features, or DSOL's masked mean."""
    seen = {}

    def scan(f, state, split):
        found = tuple(map(np.asarray, jax.jit(f)(state.variables, state.aux, batch)))
        seen[split], seen["cells"], seen["sounds"] = found
        return tuple(np.tile(rows, (2, 1)) for rows in found)

    out, l = embed()  # noqa: E741
    state = TrainState(*start[:1], {}, start[1], 0)
    refresh = next(p.refresh for p in method().phases() if p.name == "dictionary")
    refresh(state, scan, jax.random.key(0))
    weighted = np.einsum("bhwc,bhw->bc", out.f, l) / l.sum((1, 2))[:, None]
    np.testing.assert_allclose(seen["train"], weighted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen["cells"], np.mean(out.f, (1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen["sounds"], out.a, rtol=1e-4, atol=1e-5)
    masked = method(representation="mask")
    refresh = next(p.refresh for p in masked.phases() if p.name == "dictionary")
    refresh(state, scan, jax.random.key(0))
    assert (l > 0.05).all()  # so that the mask is full
    np.testing.assert_allclose(seen["train"], out.f.mean((1, 2)), rtol=1e-4, atol=1e-5)


# Prediction.


def source_maps(f, localization, aux, product, similarity, scale):
    maps = np.zeros((*f.shape[:3], K))
    for b, y, x, k in np.ndindex(maps.shape):
        feature, key = f[b, y, x].astype(np.float64), aux["dictionary"][k].astype(np.float64)
        if similarity == "centred_cosine":
            feature, key = feature - aux["feature_mean"], key - aux["feature_mean"]
            feature, key = feature / np.linalg.norm(feature), key / np.linalg.norm(key)
        maps[b, y, x, k] = scale * feature @ key
    return maps * localization[..., None] if product else maps


@pytest.mark.parametrize("similarity", ["inner", "centred_cosine"])
@pytest.mark.parametrize("product", [True, False])
def test_prediction_by_hand(start, batch, embed, product, similarity):
    variables, aux = start
    made = method(
        stage_two__product=product, stage_two__similarity=similarity, stage_two__scale=2.0
    )
    got = jax.jit(made.predict)(variables, aux, batch)
    out, localization = embed()
    assert got.maps.shape == (6, 16, 16, K) and got.scores.shape == (6, K)
    np.testing.assert_allclose(got.localization, localization, rtol=1e-4, atol=1e-5)
    maps = source_maps(out.f, localization, aux, product, similarity, 2.0)
    np.testing.assert_allclose(got.maps, softmax(maps, axis=-1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(got.maps.sum(-1), 1, rtol=1e-5)
    assert ((got.scores >= 0) & (got.scores <= 1)).all()
    weighted = np.einsum("bhwc,bhw->bc", out.f, localization)
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    distances = ((unit[:, None] - aux["centroids"]) ** 2).sum(-1)
    np.testing.assert_array_equal(got.cluster, distances.argmin(-1))


def test_scores_are_what_is_heard_by_the_teacher_and_seen(start, batch, embed):
    def heard(got):
        return np.asarray(got.scores) ** 2 / np.asarray(got.maps).max(axis=(1, 2))

    variables, aux = start
    predict = jax.jit(method().predict)
    own = embed()[0].audio_logits  # the teacher of `init` is the network itself
    np.testing.assert_allclose(
        heard(predict(variables, aux, batch)), softmax(own, axis=-1), rtol=1e-3, atol=1e-5
    )
    deaf = {**variables, "params": jax.tree.map(np.zeros_like, variables["params"])}
    np.testing.assert_allclose(
        heard(predict(deaf, aux, batch)), softmax(own, axis=-1), rtol=1e-3, atol=1e-5
    )


# Losses.


def loss_of(made, name, *arguments):
    phase = next(p for p in made.phases() if p.name == name)
    loss, out = jax.jit(phase.loss)(*arguments, jax.random.key(0))
    return float(loss), {k: float(v) for k, v in out.metrics.items()}


def bce(out, batch):
    """CSOL eq. 2 with all in-batch pairs, by loops."""
    right, wrong = [], []
    for i, j in np.ndindex(6, 6):
        if not (batch.mask[i] and batch.mask[j]):
            continue
        best = max(float(cell @ out.a[j]) for cell in out.v[i].reshape(-1, 32))
        match = expit(float(out.scale) * best + float(out.bias))
        if i == j:
            right.append(-np.log(match))
        elif batch.video[i] != batch.video[j]:
            wrong.append(-np.log(1 - match))
    return (np.mean(right) + np.mean(wrong)) / 2


def test_localization_loss_by_hand(start, batch, embed):
    loss, _ = loss_of(method(), "localization", *start, batch)
    assert loss == pytest.approx(bce(embed(train=True)[0], batch), rel=1e-4)


def test_classification_loss_by_hand(start, batch, embed):
    loss, log = loss_of(method(), "classification", *start, batch)
    out, _ = embed(train=True)
    labels = start[1]["labels"][batch.index][:5]
    expected, right = 0, []
    for logits in (out.visual_logits[:5], out.audio_logits[:5]):
        expected -= np.mean([log_softmax(row)[k] for row, k in zip(logits, labels, strict=True)])
        right.append((logits.argmax(-1) == labels).mean())
    assert loss == pytest.approx(expected, rel=1e-4)
    assert log["accuracy"] == pytest.approx(np.mean(right))


@pytest.mark.parametrize("kl", ["visual_to_audio", "audio_to_visual"])
def test_matching_loss_by_hand(start, batch, embed, kl):
    made = method(stage_two__kl=kl, stage_two__localization_weight=0.25)
    loss, log = loss_of(made, "matching", *start, batch)
    out, localization = embed(train=True)
    maps = source_maps(out.f, localization, start[1], True, "inner", made.config.stage_two.scale)
    seen = softmax(maps.mean((1, 2)), axis=-1)[:5]
    teacher = embed()[0].audio_logits / made.config.stage_two.temperature
    heard = softmax(teacher.astype(np.float64), axis=-1)[:5]
    p, q = (seen, heard) if kl == "visual_to_audio" else (heard, seen)
    matching = np.mean([entropy(*pair) for pair in zip(p, q, strict=True)])
    assert log["matching"] == pytest.approx(matching, rel=1e-3)
    assert loss == pytest.approx(matching + 0.25 * bce(out, batch), rel=1e-3)


def test_drawn_negatives_take_the_place_of_other_pairs(start, batch):
    """Drawn images that are each item's own cannot be told from it: the loss says so."""
    made = method(negatives="drawn")
    own = batch._replace(negative=batch.image)
    for name in ("localization", "matching"):
        _, log = loss_of(made, name, *start, own)
        # Right and wrong pairs have the same score x: (-log s(x) - log s(-x)) / 2 >= ln 2.
        assert log["bce"] >= np.log(2) - 1e-5
    blank = batch._replace(negative=np.zeros_like(batch.image))
    _, other = loss_of(made, "localization", *start, blank)
    _, log = loss_of(made, "localization", *start, own)
    assert abs(other["bce"] - log["bce"]) > 1e-4


@pytest.mark.parametrize("name", ["localization", "classification", "matching"])
def test_gradients_stay_in_their_modules(start, batch, name):
    made = method()
    phase = next(p for p in made.phases() if p.name == name)
    variables, aux = start

    def loss(params, teacher):
        return phase.loss(
            {**variables, "params": params},
            {**aux, "teacher": {**aux["teacher"], "params": teacher}},
            batch,
            jax.random.key(0),
        )[0]

    of = jax.jit(jax.grad(loss, argnums=(0, 1)))
    params, teacher = of(variables["params"], aux["teacher"]["params"])
    assert float(optax.global_norm(teacher)) == 0
    norms = {module: float(optax.global_norm(tree)) for module, tree in params.items()}
    assert all(np.isfinite(x) for x in norms.values())
    idle = {"correspondence"} if name == "classification" else set(HEADS)
    assert {module for module, norm in norms.items() if norm == 0} == idle


def test_stage_two_leaves_the_teacher(start, batch):
    made = method()
    phase = next(p for p in made.phases() if p.name == "matching")
    optimizer = make_optimizer(made.config.optimizers.matching)
    state = TrainState(
        start[0], {"matching": optimizer.init(start[0]["params"])}, start[1], jnp.int32(0)
    )
    step = jax.jit(make_step(phase, optimizer, None))
    new, _ = step(state, batch, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, new.aux, state.aux)
    old = start[0]["params"]["audio"]["conv_stem"]["kernel"]
    assert (np.asarray(new.variables["params"]["audio"]["conv_stem"]["kernel"]) != old).all()


# Names that are none.


@pytest.mark.parametrize(
    "fields, phase, sentence",
    [
        ({"stage_two__kl": "both"}, "matching", "config.stage_two.kl is 'visual_to_audio' or"),
        ({"stage_two__similarity": "dot"}, "matching", "similarity is 'inner', 'cosine' or"),
        ({"correspondence__pooling": "mean"}, "localization", "'max' or 'log_mean_exp', not"),
    ],
)
def test_bad_names_in_losses(start, batch, fields, phase, sentence):
    with pytest.raises(ValueError, match=sentence):
        loss_of(method(**fields), phase, *start, batch)


def test_other_bad_names(start, batch):
    with pytest.raises(ValueError, match=r"config.representation is 'weighted' \(CSOL\) or 'mask'"):
        jax.eval_shape(method(representation="box").predict, *start, batch)
    with pytest.raises(ValueError, match=r"config.method is one of .*'csol'.*, not 'cslo'"):
        method(method="cslo")
