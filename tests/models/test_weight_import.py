"""Imported weights give the outputs of the network that they are from, and nothing else is taken.

What torchvision and timm themselves give is compared in `tests/training/test_torch_files.py`.
"""

import jax
import numpy as np
import pytest

from avloc.models.backbones.resnet import ResNet
from avloc.models.weight_import import from_torch
from tests.torchvision_resnet import forward, state_dict


@pytest.fixture(scope="module")
def whole():
    return state_dict()


@pytest.fixture
def small():
    return state_dict(width=4)


def outputs(made, images, last_stride):
    net = ResNet(made.width, made.blocks, strides=(1, 2, 2, last_stride))
    return np.asarray(jax.jit(lambda v, x: net.apply(v, x, False))(made.variables, images))


@pytest.mark.parametrize("last_stride", [2, 1], ids=["torchvision's", "ours"])
def test_a_resnet18_gives_its_outputs(whole, last_stride):
    made = from_torch(whole)
    assert (made.architecture, made.width, made.prefix) == ("resnet18", 64, "")
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = forward(whole, images.transpose(0, 3, 1, 2), last_stride).transpose(0, 2, 3, 1)
    side = 4 // last_stride
    assert expected.shape == (2, side, side, 512) and 0.5 < expected.std() < 20
    np.testing.assert_allclose(outputs(made, images, last_stride), expected, rtol=1e-4, atol=1e-4)


def test_a_resnet34_at_an_odd_size():
    state = state_dict("resnet34", width=8)
    made = from_torch(state)
    assert made.architecture == "resnet34" and made.blocks == (3, 4, 6, 3)
    images = np.random.default_rng(1).normal(size=(2, 75, 50, 3)).astype(np.float32)
    expected = forward(state, images.transpose(0, 3, 1, 2), 2).transpose(0, 2, 3, 1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs(made, images, 2) / scale, expected / scale, atol=1e-5)


def test_they_are_the_variables_of_our_network(whole):
    made = from_torch(whole)
    ours = jax.eval_shape(
        lambda: ResNet().init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), False)
    )
    assert jax.tree.map(lambda x: (x.shape, x.dtype), ours) == jax.tree.map(
        lambda x: (x.shape, x.dtype), made.variables
    )
    block = made.variables["params"]["stage3_block1"]
    theirs = whole["layer3.0.downsample.0.weight"]
    assert block["conv_shortcut"]["kernel"][0, 0, 5, 9] == theirs[9, 5, 0, 0]
    np.testing.assert_array_equal(
        made.variables["batch_stats"]["stage3_block1"]["bn_shortcut"]["var"],
        whole["layer3.0.downsample.1.running_var"],
    )


def test_what_is_not_used(small):
    counts = {name for name in small if name.endswith("num_batches_tracked")}
    assert set(from_torch(small).unused) == {"fc.weight", "fc.bias"} | counts
    assert len(counts) == 20
    # Without classifier, as timm's of 0 classes, and without counts, as old files.
    assert from_torch(bare(small)).unused == ()


def bare(state):
    return {k: x for k, x in state.items() if k[:3] != "fc." and "num_batches" not in k}


def test_a_prefix(small):
    named = {f"module.net.{name}": x for name, x in bare(small).items()}
    named |= {"module.head.weight": np.zeros(3), "queue": np.zeros(3)}
    made = from_torch(named)
    assert made.prefix == "module.net."
    assert made.unused == ("module.head.weight", "queue")
    assert_equal(made.variables, from_torch(small).variables)


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats(small, dtype):
    given = {k: x.astype(dtype) for k, x in small.items()}
    made = from_torch(given)
    rounded = {k: x.astype(dtype).astype(np.float32) for k, x in small.items()}
    assert {x.dtype for x in jax.tree.leaves(made.variables)} == {np.dtype(np.float32)}
    assert_equal(made.variables, from_torch(rounded).variables)


F = np.float32


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"bn1.weight": None, "layer4.1.bn2.running_var": None},
            r"arrays of a resnet18: bn1.weight, layer4.1.bn2.running_var$",
        ),
        ({"bn1.weight": None}, r"lacks these arrays of a resnet18: bn1\.weight$"),
        ({"layer1.0.conv1.weight": None}, "no array is called layer1.0.conv1.weight: it holds no "),
        ({"layer2.2.conv1.weight": np.ones(1, F)}, r"lacks .* of a resnet34: .* and \d+ more"),
        ({"layer2.4.conv1.weight": np.ones(1, F)}, "more blocks than a resnet18 or resnet34"),
        ({"layer5.0.conv1.weight": np.ones(1, F)}, "more blocks than a resnet18 or resnet34"),
        ({"layer1.0.conv3.weight": np.ones(1, F)}, "three convolutions, as ResNet-50 and deeper"),
        ({"layer1.0.se.fc1.weight": np.ones(1, F)}, "a plain resnet18 has not: layer1.0.se.fc1"),
        ({"conv1.bias": np.ones(4, F)}, "a plain resnet18 has not: conv1.bias"),
        ({"b.layer1.0.conv1.weight": np.ones(1, F)}, "2 networks, by the prefixes '', 'b.': keep"),
        (
            {"conv1.weight": np.ones((4, 3, 3, 3), F)},
            r"width 4, conv1.weight is \[4, 3, 3, 3\], not \[4, 3, 7, 7\]$",
        ),
        ({"conv1.weight": np.ones((4, 1, 7, 7), F)}, r"is \[4, 1, 7, 7\], not \[4, 3, 7, 7\]$"),
        ({"bn1.bias": np.ones((), F)}, r"bn1.bias is \[\], not \[4\]$"),
        ({"layer1.0.conv1.weight": np.ones((), F)}, r"layer1.0.conv1.weight is \[\], not of shape"),
        ({"layer1.0.conv1.weight": np.ones((0, 4, 3, 3), F)}, "not of shape"),
        ({"bn1.bias": np.ones(4, np.int8)}, "bn1.bias is of type int8: weights are floats"),
        ({"bn1.bias": np.full(4, np.nan, F)}, "bn1.bias holds NaN or infinity"),
        ({"bn1.bias": np.full(4, 1e300)}, "bn1.bias holds NaN or infinity"),
        ({"bn1.running_var": np.full(4, -1, F)}, "bn1.running_var holds a negative variance"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ",".join(value),
)
def test_what_is_refused(small, change, sentence):
    given = {k: x for k, x in (small | change).items() if x is not None}
    with pytest.raises(ValueError, match=sentence):
        from_torch(given)


def test_names_cannot_write_to_the_terminal(small):
    with pytest.raises(ValueError) as error:
        from_torch(small | {"layer1.0.\x1b[2J": np.ones(1, F)})
    assert str(error.value).isprintable()
