"""ResNet-18-S5 has the paper's shapes and torchvision's weights, padding and statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from avloc.models.backbones.resnet import BasicBlock, ResNet


def shape_of(net, *shape, train=False):
    def out(x):
        return net.apply(net.init(jax.random.key(0), x, train), x, train)

    return jax.eval_shape(out, jax.ShapeDtypeStruct(shape, jnp.float32)).shape


@pytest.mark.parametrize(
    "net, image, out",
    [
        (ResNet(), (2, 224, 224, 3), (2, 14, 14, 512)),
        (ResNet(), (2, 201, 64, 1), (2, 13, 4, 512)),
        (ResNet(width=16), (1, 224, 224, 3), (1, 14, 14, 128)),
        (ResNet(width=16, stem_pool=False), (1, 96, 96, 3), (1, 12, 12, 128)),
        (ResNet(strides=(1, 2, 2, 2)), (1, 224, 224, 3), (1, 7, 7, 512)),
        (ResNet(width=8, blocks=(1, 1, 1, 1)), (1, 128, 96, 3), (1, 8, 6, 64)),
    ],
)
def test_shapes(net, image, out):
    assert shape_of(net, *image) == out


def test_has_the_weights_of_torchvisions_resnet18():
    variables = jax.eval_shape(
        lambda: ResNet().init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), False)
    )
    # torchvision.models.resnet18: 11,689,512, of which fc has 512 x 1000 + 1000.
    assert sum(p.size for p in jax.tree.leaves(variables["params"])) == 11_176_512
    # Running mean and variance of its 20 batch normalisations: 4,800 channels each.
    assert sum(p.size for p in jax.tree.leaves(variables["batch_stats"])) == 2 * 4800


def test_blocks_and_strides_must_agree():
    with pytest.raises(ValueError, match="zip"):
        shape_of(ResNet(blocks=(1, 1)), 1, 32, 32, 3)


@pytest.fixture(scope="module")
def net():
    """A net of two blocks, its variables and a batch of images."""
    net = ResNet(width=4, blocks=(0, 1, 0, 1))
    images = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
    return net, jax.jit(net.init, static_argnums=2)(jax.random.key(0), images, False), images


def test_evaluation_does_not_look_at_batch_mates(net):
    net, variables, images = net
    apply = jax.jit(net.apply, static_argnums=2)
    whole = apply(variables, images, False)
    for i in range(4):
        alone = apply(variables, images[i : i + 1], False)
        np.testing.assert_allclose(whole[i], alone[0], rtol=1e-4, atol=1e-5)


def trained(net):
    """Output and new statistics."""
    return jax.jit(lambda v, x: net.apply(v, x, True, mutable=["batch_stats"]))


def test_training_takes_the_statistics_of_the_batch(net):
    net, variables, images = net
    whole, new = trained(net)(variables, images)
    half, _ = trained(net)(variables, images[:2])
    assert np.abs(whole[:2] - half).max() > 0.01
    stem = convolve(images, variables["params"]["conv_stem"]["kernel"], stride=2)
    stats = new["batch_stats"]["bn_stem"]
    np.testing.assert_allclose(stats["mean"], 0.1 * stem.mean((0, 1, 2)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * stem.var((0, 1, 2)), rtol=1e-3)


def test_statistics_over_a_mapped_axis_are_those_of_the_whole_batch(net):
    net, variables, images = net
    whole, new = trained(net)(variables, images)
    mapped = jax.vmap(trained(net.clone(axis_name="data")), (None, 0), axis_name="data")
    parts, parts_new = mapped(variables, images.reshape(2, 2, *images.shape[1:]))
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, rtol=1e-3, atol=1e-4)
    for part in range(2):
        jax.tree.map(
            lambda a, b, part=part: np.testing.assert_allclose(a[part], b, rtol=1e-4, atol=1e-5),
            parts_new,
            new,
        )


def convolve(x, kernel, stride):
    """Convolution with half the kernel as symmetric zero padding, by scipy."""
    pad = kernel.shape[0] // 2
    x = np.pad(np.asarray(x), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = [
        [correlate(item, np.asarray(kernel[..., c]), "valid")[..., 0] for item in x]
        for c in range(kernel.shape[-1])
    ]
    return np.moveaxis(np.array(out), 0, -1)[:, ::stride, ::stride]


def fresh_norm(x):
    """Batch normalisation with the statistics it starts with: mean 0, variance 1."""
    return x / np.sqrt(1 + 1e-5)


def test_stem_pads_as_torchvision(net):
    _, variables, images = net
    stem = ResNet(width=4, blocks=(0, 0, 0, 0))
    kept = {
        collection: {k: v for k, v in tree.items() if k.endswith("stem")}
        for collection, tree in variables.items()
    }
    got = jax.jit(stem.apply, static_argnums=2)(kept, images, False)
    conv = convolve(images, variables["params"]["conv_stem"]["kernel"], stride=2)
    relu = np.maximum(fresh_norm(conv), 0)
    padded = np.pad(relu, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    expected = np.array(
        [
            [padded[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max((1, 2)) for x in range(8)]
            for y in range(8)
        ]
    )
    np.testing.assert_allclose(got, np.moveaxis(expected, 2, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride, features", [(1, 4), (2, 4), (1, 6)])
def test_block(stride, features):
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 4))
    block = BasicBlock(features, stride)
    variables = jax.jit(block.init, static_argnums=2)(jax.random.key(1), x, False)
    p = variables["params"]
    y = np.maximum(fresh_norm(convolve(x, p["conv1"]["kernel"], stride)), 0)
    y = fresh_norm(convolve(y, p["conv2"]["kernel"], 1))
    shortcut = np.asarray(x)
    assert ("conv_shortcut" in p) == ((stride, features) != (1, 4))
    if "conv_shortcut" in p:
        shortcut = fresh_norm(convolve(x, p["conv_shortcut"]["kernel"], stride))
    expected = np.maximum(y + shortcut, 0)
    got = jax.jit(block.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
