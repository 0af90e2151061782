"""CSOL that separates by its clusters: what learns, whose guide, and whose sound."""

import jax
import numpy as np
import pytest

from avloc.configs import separation_folder
from avloc.training.methods import create, require
from avloc.types import Batch, DatasetInfo, Separates

K = 3
INFO = DatasetInfo({"train": 12, "validation": 4})


@pytest.fixture(scope="module")
def method():
    config = separation_folder.get_config().unlock()
    config.clusters, config.batch_size, config.image_size, config.init_from = K, 4, 32, ""
    config.stored_views, config.representation_sound = 0, 0.0
    config.model.update(dict(visual="resnet", frozen=(), standardized=False, width=4))
    config.model.update(dict(blocks=(0, 0, 0, 1), front_end="paper"))
    config.sound.update(dict(sample_rate=4000, samples=480, n_fft=62, hop=32, rows=16))
    config.separation.update(dict(levels=2, width=4))
    return create(config, INFO)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    tones = np.sin(2 * np.pi * np.outer([300, 600, 1000, 1500], np.arange(16000) / 16000))
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    return Batch.of(images, (tones * 8000).astype(np.int16))


@pytest.fixture(scope="module")
def start(method, batch):
    variables, aux = jax.jit(method.init)(jax.random.key(0), batch)
    return variables, {**aux, "labels": np.array([0, 1, 2, 1] * 3, np.int32)}


def test_the_separation_moves_the_separator_alone(method, batch, start):
    variables, aux = start
    loss = jax.jit(jax.value_and_grad(method.separation_loss, has_aux=True))
    (value, out), gradient = loss(variables, aux, batch, jax.random.key(1))
    moved = {
        name: max(float(np.abs(x).max()) for x in jax.tree.leaves(tree))
        for name, tree in gradient["params"].items()
    }
    assert np.isfinite(value) and np.isfinite(list(moved.values())).all()
    assert [name for name, most in moved.items() if most > 0] == ["separator"]
    before = variables["batch_stats"]
    assert jax.tree.structure(out.batch_stats) == jax.tree.structure(before)
    changed = {
        name
        for name, tree in out.batch_stats.items()
        if any(
            np.any(a != b)
            for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(before[name]), strict=True)
        )
    }
    assert changed == {"separator"}


def test_the_other_phases_keep_the_separator(method, batch, start):
    variables, aux = start
    _, out = jax.jit(method.warmup_loss)(variables, aux, batch, jax.random.key(1))
    before = variables["batch_stats"]["separator"]
    jax.tree.map(np.testing.assert_array_equal, out.batch_stats["separator"], before)


def test_the_loss_is_that_of_clusters_as_guides(method, batch, start):
    variables, aux = start
    own = {kind: tree["separator"] for kind, tree in variables.items()}
    guides = np.eye(K, dtype=np.float32)[[0, 1, 2, 1]]
    expected, _ = method.separator.separation_loss(own, batch, jax.random.key(1), guides)
    value, _ = method.separation_loss(variables, aux, batch, jax.random.key(1))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_separated_sounds_are_of_the_kinds_that_share(method, batch, start):
    separate = jax.jit(require(method, Separates, "csol_separation").separate)
    among = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
    got = np.asarray(separate(*start, batch, among))
    assert got.shape == (4, K, 16000) and np.abs(got).max() <= 1
    assert (np.abs(got).max(axis=-1) > 0).tolist() == among.tolist()
    assert method.window % 2 == 0 and method.window == method.separator.window


def test_the_separator_comes_last_and_is_kept():
    config = separation_folder.get_config()
    names = [(phase.name, phase.checkpoint_name) for phase in create(config, INFO).phases()]
    assert names[-2:] == [("dictionary", "stage_one"), ("separation", "separation")]
