"""The heads by hand, and the network that puts them on two backbones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.models import AudioVisualNet, CorrespondenceHead, ResNet, pairwise_cosine
from avloc.models.heads import unit


def test_unit_by_hand():
    np.testing.assert_allclose(unit(jnp.array([[3.0, 4.0], [0.0, -2.0]])), [[0.6, 0.8], [0, -1]])


def test_unit_of_zero_is_zero_without_gradient():
    assert np.array_equal(unit(jnp.zeros((2, 3))), np.zeros((2, 3)))
    assert (np.asarray(jax.grad(lambda x: unit(x).sum())(jnp.zeros((2, 3)))) == 0).all()


def test_pairwise_cosine_by_hand():
    # Two images of 1 x 2 cells, two sounds.
    visual = jnp.array([[[[1.0, 0.0], [0.6, 0.8]]], [[[0.0, 1.0], [-1.0, 0.0]]]])
    audio = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    expected = [[[[1, 0.6]], [[0, 0.8]]], [[[0, -1]], [[1, 0]]]]
    np.testing.assert_allclose(pairwise_cosine(visual, audio), expected)


def dense(params, x):
    return x @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


@pytest.mark.parametrize("bias", [False, True])
def test_correspondence_head_by_hand(bias):
    f = jax.random.normal(jax.random.key(0), (2, 3, 3, 8))
    g = jax.random.normal(jax.random.key(1), (2, 8))
    head = CorrespondenceHead(features=16, bias=bias)
    variables = jax.jit(head.init)(jax.random.key(2), f, g)
    p = variables["params"]
    assert ("bias" in p) == bias
    v, a, scale, offset = head.apply(variables, f, g)
    assert (float(scale), float(offset)) == (5.0, 0.0)
    by_hand = dense(p["visual2"], np.maximum(dense(p["visual1"], np.asarray(f)), 0))
    by_hand /= np.linalg.norm(by_hand, axis=-1, keepdims=True)
    np.testing.assert_allclose(v, by_hand, rtol=1e-4, atol=1e-6)
    by_hand = dense(p["audio2"], np.maximum(dense(p["audio1"], np.asarray(g)), 0))
    by_hand /= np.linalg.norm(by_hand, axis=-1, keepdims=True)
    np.testing.assert_allclose(a, by_hand, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def network():
    small = {"width": 4, "blocks": (0, 0, 0, 1)}
    visual, audio = ResNet(stem_pool=False, **small), ResNet(**small)
    net = AudioVisualNet(clusters=5, visual=visual, audio=audio, embedding=6)
    image = jax.random.normal(jax.random.key(0), (3, 32, 32, 3))
    sound = jax.random.normal(jax.random.key(1), (3, 40, 16, 1))
    variables = jax.jit(net.init)(jax.random.key(2), image, sound)
    return net, variables, image, sound, jax.jit(net.apply)(variables, image, sound)


def test_the_named_intermediates_are_what_they_say(network):
    net, variables, _, sound, out = network
    assert (out.f.shape, out.g.shape) == ((3, 16, 16, 32), (3, 32))
    p = variables["params"]
    assert set(p) == {
        "visual",
        "audio",
        "correspondence",
        "visual_classifier",
        "audio_classifier",
    }
    audio_map = jax.jit(lambda v, x: net.apply(v, x, method=lambda net, x: net.audio(x, False)))(
        variables, sound
    )
    assert audio_map.shape == (3, 10, 4, 32)  # the audio backbone keeps its pooling
    np.testing.assert_allclose(out.g, audio_map.max(axis=(1, 2)), rtol=1e-5)
    heard = jax.jit(lambda v, x: net.apply(v, x, method="hear"))(variables, sound)
    np.testing.assert_allclose(heard, out.g, rtol=1e-5)
    pooled = np.asarray(out.f).mean(axis=(1, 2))
    np.testing.assert_allclose(
        out.visual_logits, dense(p["visual_classifier"], pooled), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        out.audio_logits, dense(p["audio_classifier"], np.asarray(out.g)), rtol=1e-4, atol=1e-5
    )


def test_localization_is_the_sigmoid_of_the_scaled_cosine(network):
    *_, out = network
    out = out._replace(scale=jnp.float32(3.0), bias=jnp.float32(-0.5))
    localization = out.localization()
    for i, y, x in np.ndindex(3, 16, 16):
        cosine = float(np.dot(out.v[i, y, x], out.a[i]))
        assert abs(cosine) < 1 + 1e-5
        expected = 1 / (1 + np.exp(-(3.0 * cosine - 0.5)))
        assert float(localization[i, y, x]) == pytest.approx(expected, abs=1e-5)


def test_jit_equals_no_jit(network):
    net, variables, image, sound, out = network
    plain = net.apply(variables, image, sound)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, out)


def test_training_moves_the_statistics_of_both_backbones(network):
    net, variables, image, sound, _ = network
    train = jax.jit(lambda *a: net.apply(*a, True, mutable=["batch_stats"])[1])
    new = train(variables, image, sound)
    for backbone in ("visual", "audio"):
        before = variables["batch_stats"][backbone]["bn_stem"]["mean"]
        assert np.abs(new["batch_stats"][backbone]["bn_stem"]["mean"] - before).max() > 1e-3
