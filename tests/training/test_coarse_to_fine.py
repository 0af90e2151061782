"""C2F by hand: its phases and labels, what its losses count, and its maps."""

import json

import jax
import numpy as np
import pytest
from scipy.special import expit

from avloc import losses
from avloc.configs.c2f import base
from avloc.data_pipelines.loader import video_number
from avloc.training.methods import create, initialize
from avloc.training.methods.label_files import softened
from avloc.training.methods.networks import inputs
from avloc.types import Batch, DatasetInfo, TrainState
from tests.training.tiny_csol import changed

K, N = 3, 6
INFO = DatasetInfo({"train": N, "cocktail_train": N}, class_names=("a", "b", "c"))


def settings(**fields):
    """C2F on a net of one block; `fields` as in `changed`."""
    config = base()
    config.image_size, config.clusters = 32, K
    config.model.update(dict(width=4, blocks=(0, 0, 0, 1), stem_pool=False, embedding=16))
    config.model.update(dict(projection=(16, 8), pair_hidden=8, audio_branch="stage"))
    config.data.stage_two = "cocktail_train"
    config.stage_two.update(dict(margin=2.0, valid_threshold=0.2, form="means"))
    return changed(config, **fields)


def method(**fields):
    return create(settings(**fields), INFO)


@pytest.fixture(scope="module")
def batch():
    """Five items of four videos, the last one padding."""
    rng = np.random.default_rng(0)
    made = Batch.of(
        rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8),
        (rng.normal(size=(5, 16000)) * 3000).astype(np.int16),
    )
    return made._replace(
        video=np.int32([1, 2, 3, 1, 9]),
        mask=np.array([True] * 4 + [False]),
        labels=np.int32([[0, -1], [1, 2], [2, 0], [-1, -1], [0, 0]]),
        sounding=np.array([[1, 0], [1, 1], [1, 0], [0, 0], [1, 1]], bool),
    )


@pytest.fixture(scope="module")
def start(batch):
    """Variables and aux; heads are large enough for maps and classes that differ."""
    variables, aux = initialize(method(), jax.random.key(0), batch)
    variables = jax.tree.map(np.asarray, variables)
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, (2 * N, K)).astype(np.float32)
    return variables, {**jax.tree.map(np.asarray, dict(aux)), "targets": targets}


@pytest.fixture(scope="module")
def branches(batch, start):
    net = method().net
    forward = jax.jit(lambda v, b: net.apply(v, *inputs(net, b), method="disentangle"))
    return jax.tree.map(np.asarray, forward(start[0], batch))


# Phases.


def test_both_stages_read_clips_and_scenes_in_turn():
    made = list(
        method(multi_task__epochs=1, stage_two__epochs=2, multi_task__zoom_out=0.5).phases()
    )
    assert made[-8].checkpoint_name == "stage_one"
    rows = [(p.name, p.split, p.optimizer, p.aux.get("offset")) for p in made[-7:]]
    assert rows == [
        ("labels", "train", "multi_task", None),
        *[("multi-task", *rest) for rest in _turn("multi_task")],
        *[("alignment", *rest) for rest in 2 * _turn("alignment")],
    ]
    stages = [p.checkpoint_name for p in made[-6:]]
    assert made[-7].checkpoint_name == "labels"
    assert stages == [None, "multi_task", None, None, None, "stage_two"]
    assert [p.zoom_out for p in made[-2:]] == [0.5, 0.0]


def _turn(optimizer):
    return [("train", optimizer, 0), ("cocktail_train", optimizer, N)]


def test_with_labels_there_is_no_clustering():
    first = next(iter(method(labels__source="tags").phases()))
    assert first.name == "labels"


@pytest.mark.parametrize("parts", ["multi_task", "avc"])
def test_less_than_the_whole_trains_as_long(parts):
    whole, less = (list(method(parts=p).phases()) for p in ("full", parts))
    assert len(less) == len(whole) and less[-1].loss == less[-2].loss
    assert less[-1].loss.__name__ == "multi_task_loss"


def test_unknown_parts():
    with pytest.raises(ValueError, match=r"config\.parts is one of full, multi_task, avc, not"):
        method(parts="cam")


# Labels.


def labelled(made, start, batch, split_batches=None):
    """`label` with a scan over one batch for each split."""
    aux = {**start[1], "labels": np.int32([0, 1, 2, 0, 1, 2])}
    rows = {"train": batch, "cocktail_train": batch}

    def scan(f, state, split):
        return np.asarray(f(state.variables, state.aux, rows[split]))

    return made.label(TrainState(start[0], {}, aux, 0), scan, jax.random.key(0)).aux


def six(batch):
    return jax.tree.map(lambda x: None if x is None else np.concatenate([x, x[:1]]), batch)


def test_labels_are_clusters_of_clips_and_what_the_teacher_hears_in_scenes(batch, start):
    made = method()
    aux = labelled(made, start, six(batch))
    np.testing.assert_array_equal(aux["targets"][:N], np.eye(K)[[0, 1, 2, 0, 1, 2]])
    heard = np.asarray(made._teach_step(start[0], start[1], six(batch)))
    np.testing.assert_allclose(heard.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(aux["targets"][N:], softened(heard, 0.3, 0.6), rtol=1e-5)
    np.testing.assert_array_equal(aux["labels"], [0, 1, 2, 0, 1, 2])


def test_tags_are_what_sounds(batch, start):
    aux = labelled(method(labels__source="tags"), start, six(batch))
    expected = [[1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0], [1, 0, 0]]
    np.testing.assert_array_equal(aux["targets"], expected * 2)
    np.testing.assert_array_equal(aux["labels"], [0, 1, 2, 0, 0, 0])
    few = create(settings(labels__source="tags", clusters=2), INFO)
    with pytest.raises(ValueError, match=r"clusters is 2, but the data set has 3 categories.*to 3"):
        labelled(few, start, six(batch))


def test_a_losses_labels_come_from_aux_alone(batch, start):
    """The batch's own labels change nothing but what `tags` reads."""
    made = method()
    other = batch._replace(labels=np.zeros_like(batch.labels), sounding=~batch.sounding)
    loss = jax.jit(made.multi_task_loss)
    first, again = (loss(*start, b, jax.random.key(0))[0] for b in (batch, other))
    assert float(first) == float(again)


def test_labels_of_a_file_by_video(batch, start, tmp_path):
    file = tmp_path / "tags.json"
    scores = {"one": [0.1, 0.9, 0.0], "two": [1.0, 0.0, 0.5]}
    file.write_text(json.dumps(scores))
    made = method(labels__source="file", labels__file=str(file))
    videos = np.int32([video_number(name) for name in ("one", "two", "two", "one", "one", "two")])
    aux = labelled(made, start, six(batch)._replace(video=videos))
    np.testing.assert_allclose(aux["targets"][:3], [[0.1, 0.96, 0], [1, 0, 0.8], [1, 0, 0.8]])
    np.testing.assert_array_equal(aux["labels"], [1, 0, 0, 1, 1, 0])
    with pytest.raises(ValueError, match=r"lacks 5 of 5 videos of split train"):
        labelled(made, start, six(batch)._replace(video=np.int32([1, 2, 3, 4, 5, 5])))


def test_no_file_and_an_unknown_source(batch, start):
    made = method(labels__source="file", labels__file="nowhere.json")
    with pytest.raises(ValueError, match=r"labels\.file: there is no file 'nowhere\.json'"):
        labelled(made, start, six(batch))
    with pytest.raises(ValueError, match="is 'clusters', 'file' or 'tags', not 'boxes'"):
        labelled(method(labels__source="boxes"), start, six(batch))


# Losses.


def features(branches, variables):
    """`f^c` of both sides, in NumPy."""

    def side(name, f, e):
        kernel = variables["params"][name]["kernel"]
        weights = np.maximum(f @ kernel, 0)
        weights = np.where(weights.sum(axis=(1, 2), keepdims=True) > 1e-6, weights, 1)
        weights = weights / weights.sum(axis=(1, 2), keepdims=True)
        return np.einsum("bhwk,bhwc->bkc", weights, e)

    seen = side("visual_classes", branches.f_v, branches.e_v)
    return seen, side("audio_classes", branches.f_a, branches.e_a)


def projected(x, head):
    inside = np.maximum(x @ head["Dense_0"]["kernel"] + head["Dense_0"]["bias"], 0)
    out = inside @ head["Dense_1"]["kernel"] + head["Dense_1"]["bias"]
    return out / np.linalg.norm(out, axis=-1, keepdims=True)


def test_the_losses_are_those_of_the_networks_outputs(batch, start):
    """With the statistics of the training batch: the branches are those of `train`."""
    made, (variables, aux) = method(), start
    aux = {**aux, "offset": np.float32(N)}
    net = made.net
    forward = jax.jit(
        lambda v, b: net.apply(
            v, *inputs(net, b), True, method="disentangle", mutable=["batch_stats"]
        )
    )
    out, new = jax.tree.map(np.asarray, forward(variables, batch))
    real, targets = batch.mask, aux["targets"][N + batch.index]

    def bce(logits):
        p = expit(logits)
        rows = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(axis=1)
        return rows[real].mean()

    picture, sound = out.e_v.mean(axis=(1, 2)), out.e_a.mean(axis=(1, 2))
    pair = variables["params"]["pair"]
    halves = [x @ pair[n]["kernel"] for n, x in (("picture", picture), ("sound", sound))]
    inside = np.maximum(halves[0][:, None] + halves[1] + pair["sound"]["bias"], 0)
    two = inside @ pair["logits"]["kernel"] + pair["logits"]["bias"]
    wrong, right = np.moveaxis(two - np.logaddexp(*np.moveaxis(two, -1, 0))[..., None], -1, 0)
    other = (batch.video[:, None] != batch.video) & real & real[:, None]  # 0 and 3: one video
    expected = -0.5 * (np.diag(right)[real].mean() + wrong[other].mean())
    classes = bce(out.visual_logits) + bce(out.audio_logits)

    jitted = jax.jit(made.alignment_loss)
    total, (stats, log) = jitted(variables, aux, batch, jax.random.key(0))
    assert float(log["matching"]) == pytest.approx(expected, rel=1e-4)
    assert float(log["loss_visual"] + log["loss_audio"]) == pytest.approx(classes, rel=1e-4)
    seen, heard = features(out, variables)
    params = variables["params"]
    valid = (expit(out.visual_logits) > 0.2) & (expit(out.audio_logits) > 0.2) & real[:, None]
    assert valid.any()
    aligned = losses.alignment(
        projected(heard, params["heard"]),
        projected(seen, params["seen"]),
        valid,
        batch.video,
        2.0,
        "means",
    )
    assert float(log["alignment"]) == pytest.approx(float(aligned.loss), abs=1e-4)
    assert float(total) == pytest.approx(expected + classes + float(aligned.loss), rel=1e-4)
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(new["batch_stats"]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_drawn_picture_is_the_only_negative(batch, start):
    made, (variables, aux) = method(), start
    drawn = batch._replace(negative=batch.image[::-1].copy())
    _, (_, log) = jax.jit(made.multi_task_loss)(variables, aux, drawn, jax.random.key(0))
    same = batch._replace(negative=batch.image)
    _, (_, equal) = jax.jit(made.multi_task_loss)(variables, aux, same, jax.random.key(0))
    # Where the drawn picture is the own one, every pair is right once and wrong once.
    assert float(equal["accuracy"]) == pytest.approx(0.5)
    assert float(equal["matching"]) >= np.log(2) - 1e-6
    assert np.isfinite(log["matching"]) and float(log["matching"]) != float(equal["matching"])


# Maps.


def predicted(start, batch, **fields):
    made = method(**fields)
    out = jax.jit(made.predict)(*start, batch)
    return jax.tree.map(np.asarray, out)


def test_maps_are_cosines_of_cells_with_what_is_heard_of_each_class(start, batch, branches):
    out = predicted(start, batch)
    params = start[0]["params"]
    _, heard = features(branches, start[0])
    sounds, cells = projected(heard, params["heard"]), projected(branches.e_v, params["seen"])
    cosine = np.einsum("bhwd,bkd->bhwk", cells, sounds)
    np.testing.assert_allclose(out.maps, np.clip(cosine, 0, 1), atol=1e-4)
    p_a, p_v = expit(branches.audio_logits), expit(branches.visual_logits)
    scores = np.sqrt(p_a * p_v)
    np.testing.assert_allclose(out.heard, p_a, rtol=1e-4)
    np.testing.assert_allclose(out.scores, scores, rtol=1e-4)
    np.testing.assert_array_equal(out.cluster, scores.argmax(axis=1))
    valid = (p_a > 0.2) & (p_v > 0.2)
    valid[~valid.any(axis=1)] = True
    weights = valid * scores / (valid * scores).sum(axis=1, keepdims=True)
    place = np.einsum("bhwk,bk->bhw", np.clip(cosine, 0, 1), weights)
    np.testing.assert_allclose(out.localization, place, atol=1e-4)
    weighted = predicted(start, batch, localization__weighted=True)
    np.testing.assert_allclose(weighted.maps, out.maps * scores[:, None, None], atol=1e-4)
    distance = predicted(start, batch, localization__form="distance", localization__sharpness=10.0)
    near = np.exp(-10 * np.sqrt(np.maximum(2 - 2 * cosine, 1e-12)))
    expected = near / near.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(distance.maps, expected, atol=1e-3)


def test_without_alignment_a_cell_is_asked_whether_it_belongs_to_the_class(start, batch, branches):
    out = predicted(start, batch, parts="multi_task")
    _, heard = features(branches, start[0])
    pair = start[0]["params"]["pair"]
    halves = branches.e_v @ pair["picture"]["kernel"], heard @ pair["sound"]["kernel"]
    inside = np.maximum(
        halves[0][:, :, :, None] + halves[1][:, None, None] + pair["sound"]["bias"], 0
    )
    two = inside @ pair["logits"]["kernel"] + pair["logits"]["bias"]
    np.testing.assert_allclose(out.maps, expit(two[..., 1] - two[..., 0]), atol=1e-4)


def test_correspondence_alone_has_one_map_for_all(start, batch):
    out = predicted(start, batch, parts="avc")
    assert out.maps.shape[-1] == out.scores.shape[-1] == out.heard.shape[-1] == 1
    np.testing.assert_array_equal(out.maps[..., 0], out.localization)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"localization__form": "cos"}, "localization.form is 'cosine' or 'distance'"),
        ({"multi_task__pooling": "sum"}, "multi_task.pooling is 'mean' or 'max'"),
    ],
)
def test_unknown_forms(start, batch, fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(method(**fields).predict, *start, batch)
    with pytest.raises(ValueError, match="valid is 'predicted' or 'labelled'"):
        jax.eval_shape(
            method(stage_two__valid="all").alignment_loss, *start, batch, jax.random.key(0)
        )


def test_an_unknown_audio_branch(batch):
    for fields in ({"model__audio_branch": "conv"}, {"model__audio": "crnn"}):
        made = create(settings(**fields), INFO) if "model__audio" not in fields else None
        if made is None:
            config = settings(model__audio="crnn", model__front_end="coarse")
            made = create(config, INFO)
        with pytest.raises(
            ValueError, match="audio_branch is 'convolutions', or 'stage' of a resn"
        ):
            jax.eval_shape(made.init, jax.random.key(0), batch)


def test_a_recurrent_network_hears_classes_too(batch):
    made = method(
        model__audio="crnn", model__front_end="coarse", model__audio_branch="convolutions"
    )
    variables, aux = jax.eval_shape(made.init, jax.random.key(0), batch)
    out = jax.eval_shape(made.predict, variables, aux, batch)
    assert out.maps.shape[-1] == out.heard.shape[-1] == K
    loss, _ = jax.eval_shape(made.alignment_loss, variables, aux, batch, jax.random.key(0))
    assert loss.shape == ()


def test_gradients_are_finite_at_equal_sounds_and_silence(batch, start):
    """Distances of 0 have a root's gradient."""
    made, (variables, aux) = method(), start
    still = batch._replace(image=np.zeros_like(batch.image), waveform=np.zeros_like(batch.waveform))

    def loss(params):
        return made.alignment_loss({**variables, "params": params}, aux, still, jax.random.key(0))[
            0
        ]

    grads = jax.jit(jax.grad(loss))(variables["params"])
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
