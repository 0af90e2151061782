"""Mixtures and the pairs of a batch, by loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.special import expit

from avloc.models import Embeddings
from avloc.training.methods.correspondence import match_loss, mix_sounds
from avloc.types import Batch

SIZE = 5
VIDEOS = np.int32([0, 1, 2, 1, 3])


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    sounds = rng.integers(-30000, 30000, (SIZE, 8)).astype(np.int16)
    return Batch.of(np.zeros((SIZE, 2, 2, 3), np.uint8), sounds)._replace(video=VIDEOS)


def embeddings(images=SIZE):
    rng = np.random.default_rng(1)

    def unit(*shape):
        x = rng.normal(size=shape).astype(np.float32)
        return jnp.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))

    v, a, none = unit(images, 3, 3, 4), unit(SIZE, 4), jnp.zeros(())
    return Embeddings(none, none, v, a, jnp.float32(4.0), jnp.float32(-0.5), none, none)


def spec(**fields):
    settings = {"bce": 0.0, "info_nce": 0.0, "pooling": "max", "sharpness": 20.0}
    return ConfigDict(settings | {"temperature": 0.5} | fields)


@pytest.mark.parametrize("share, mixed", [(0.0, []), (0.4, [0, 1]), (1.0, [0, 1, 2])])
def test_a_mixture_is_the_mean_of_two_sounds(batch, share, mixed):
    batch = batch._replace(mask=np.array([True] * 4 + [False]))
    # Never mixed: the padding, and the item whose partner it would be.
    made, held = mix_sounds(batch, share, None)
    expected = np.eye(SIZE)
    for i in range(SIZE):
        sound = batch.waveform[i].astype(int)
        if i in mixed:
            sound = (sound + batch.waveform[i + 1]) // 2
            expected[i, i + 1] = 1
        np.testing.assert_array_equal(made.waveform[i], sound)
    np.testing.assert_array_equal(held, expected)
    assert made.waveform.dtype == np.int16
    traced = jax.jit(lambda share: mix_sounds(batch, share, None))(jnp.float32(share))
    jax.tree.map(np.testing.assert_array_equal, traced, (made, held))


def pairs(batch, held):
    """Positive and negative pairs, image i and sound j."""
    right, wrong = [], []
    for i, j in np.ndindex(SIZE, SIZE):
        clips = np.flatnonzero(held[j])
        if batch.mask[i] and batch.mask[j]:
            if i in clips:
                right.append((i, j))
            elif batch.video[i] not in batch.video[clips]:
                wrong.append((i, j))
    return right, wrong


def best(out, image, sound):
    return max(float(cell @ out.a[sound]) for cell in out.v[image].reshape(-1, 4))


@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize("real", [5, 4])
def test_match_bce_of_a_batch(batch, share, real):
    batch = batch._replace(mask=np.arange(SIZE) < real)
    out = embeddings()
    _, held = mix_sounds(batch, share, None)
    loss, log = match_loss(out, batch, held, spec(bce=2.0), None)
    right, wrong = pairs(batch, np.asarray(held))
    assert (1, 3) not in wrong and (3, 1) not in wrong  # one video
    matched = [expit(4 * best(out, *pair) - 0.5) for pair in right]
    unmatched = [expit(4 * best(out, *pair) - 0.5) for pair in wrong]
    expected = (-np.mean(np.log(matched)) - np.mean(np.log1p(-np.array(unmatched)))) / 2
    assert log["bce"] == pytest.approx(expected, rel=1e-5)
    assert loss == pytest.approx(2 * expected, rel=1e-5)


def test_retrieval_is_the_share_of_images_that_find_their_sound(batch):
    out = embeddings()
    _, log = match_loss(out, batch, jnp.eye(SIZE), spec(bce=1.0), None)
    found = [np.argmax([best(out, i, j) for j in range(SIZE)]) == i for i in range(SIZE)]
    assert log["retrieval"] == pytest.approx(np.mean(found))


def test_losses_are_weighted(batch):
    out, held = embeddings(), jnp.eye(SIZE)
    _, bce = match_loss(out, batch, held, spec(bce=1.0), None)
    _, nce = match_loss(out, batch, held, spec(info_nce=1.0), None)
    assert "info_nce" not in bce and "bce" not in nce
    loss, _ = match_loss(out, batch, held, spec(bce=0.25, info_nce=3.0), None)
    assert loss == pytest.approx(0.25 * float(bce["bce"]) + 3 * float(nce["info_nce"]), rel=1e-5)


def test_a_drawn_image_is_its_sounds_only_negative(batch):
    out = embeddings(images=2 * SIZE)
    batch = batch._replace(negative=batch.image, mask=np.array([True] * 4 + [False]))
    _, log = match_loss(out, batch, jnp.eye(SIZE), spec(bce=1.0), None)
    matched = [expit(4 * best(out, j, j) - 0.5) for j in range(4)]
    unmatched = [expit(4 * best(out, SIZE + j, j) - 0.5) for j in range(4)]
    expected = (-np.mean(np.log(matched)) - np.mean(np.log1p(-np.array(unmatched)))) / 2
    assert log["bce"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fields", [{"bce": 1.0}, {"info_nce": 1.0, "pooling": "log_mean_exp"}])
def test_jit_equals_no_jit_and_gradients_are_finite(batch, fields):
    def loss(v, mask):
        made = embeddings()._replace(v=v)
        return match_loss(made, batch._replace(mask=mask), jnp.eye(SIZE), spec(**fields), None)[0]

    for real in (SIZE, 1, 0):
        arguments = embeddings().v, jnp.arange(SIZE) < real
        value, gradient = jax.jit(jax.value_and_grad(loss))(*arguments)
        assert value == pytest.approx(float(loss(*arguments)), rel=1e-5, abs=1e-7)
        assert np.isfinite(gradient).all() and (np.asarray(gradient)[real:] == 0).all()


@pytest.mark.parametrize("drawn", [False, True])
def test_each_quarter_of_a_map_that_does_not_match_is_a_negative(batch, drawn):
    out = embeddings(images=2 * SIZE if drawn else SIZE)
    batch = batch._replace(mask=np.array([True] * 4 + [False]))
    batch = batch._replace(negative=batch.image if drawn else None)
    settings, eye = spec(bce=1.0), jnp.eye(SIZE)
    loss, _ = match_loss(out, batch, eye, settings, None, negative_side=2)

    def quarters(image, sound):
        cosine = np.asarray(out.v[image]) @ np.asarray(out.a[sound])  # 3x3: the middle is shared
        return [cosine[y : y + 2, x : x + 2].max() for y in (0, 1) for x in (0, 1)]

    right, wrong = pairs(batch, np.eye(SIZE))
    if drawn:
        wrong = [(SIZE + j, j) for j in range(4)]
    matched = [expit(4 * best(out, *pair) - 0.5) for pair in right]
    unmatched = expit(4 * np.array([quarters(*pair) for pair in wrong]) - 0.5)
    expected = (-np.mean(np.log(matched)) - np.mean(np.log1p(-unmatched))) / 2
    assert loss == pytest.approx(expected, rel=1e-5)
    gradient = jax.grad(
        lambda v: match_loss(out._replace(v=v), batch, eye, settings, None, negative_side=2)[0]
    )(out.v)
    assert np.isfinite(gradient).all()


def test_quarters_in_parts_are_those_of_the_whole_batch(batch):
    even = jax.tree.map(lambda x: None if x is None else x[:4], batch)
    out = embeddings()
    out = out._replace(v=out.v[:4], a=out.a[:4])
    whole, halves = (
        match_loss(out, even, jnp.eye(4), spec(bce=1.0), None, parts, negative_side=2)[0]
        for parts in (1, 2)
    )
    assert halves == pytest.approx(float(whole), rel=1e-6)
