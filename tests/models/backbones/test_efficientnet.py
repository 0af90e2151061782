"""EfficientNet-Lite0: both depthwise convolutions, a block by hand, and photos that it knows."""

import itertools

import jax
import jax.numpy as jnp
import matplotlib.cbook
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from sklearn.datasets import load_sample_image

from avloc.data_pipelines.media.image import evaluation_view, normalize
from avloc.inputs import Scaling
from avloc.models.backbones import visual_backbone
from avloc.models.backbones.efficientnet import (
    EfficientNetLite0,
    InvertedResidual,
    _grouped,
    _shifted,
    depthwise,
)
from avloc.models.efficientnet_import import efficientnet_lite0
from avloc.runs.pretrained import pretrained_arrays


def by_loops(x, kernel, stride):
    """A depthwise convolution, cell by cell; "SAME" puts the odd row or column behind."""
    _, height, width, _ = x.shape
    side = len(kernel)
    out = [-(-n // stride) for n in (height, width)]
    before = [
        max((o - 1) * stride + side - n, 0) // 2 for o, n in zip(out, (height, width), strict=True)
    ]
    made = np.zeros((len(x), *out, x.shape[-1]))
    for y, z, i, j in itertools.product(range(out[0]), range(out[1]), range(side), range(side)):
        row, column = y * stride + i - before[0], z * stride + j - before[1]
        if 0 <= row < height and 0 <= column < width:
            made[:, y, z] += x[:, row, column] * kernel[i, j, 0]
    return made


def drawn(size, side, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    return x, rng.normal(size=(side, side, 1, 3)).astype(np.float32)


SIZES = [(6, 6), (7, 7), (6, 9), (2, 1), (13, 8)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_both_depthwise_convolutions_are_the_one_by_loops(size, side, stride):
    x, kernel = drawn(size, side)
    expected = by_loops(x, kernel, stride)
    for form in (_shifted, _grouped):
        np.testing.assert_allclose(form(x, jnp.asarray(kernel), stride), expected, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("size", "side"), [((6, 9), 3), ((7, 8), 5)], ids=str)
def test_their_gradients_are_equal(size, side, stride):
    x, kernel = drawn(size, side)
    weights = np.random.default_rng(1).normal(size=by_loops(x, kernel, stride).shape)

    def loss(form):
        return jax.grad(lambda a, b: (form(a, b, stride) * weights).sum(), argnums=(0, 1))

    forms = [loss(form)(x, jnp.asarray(kernel)) for form in (_shifted, _grouped)]
    chosen = jax.jit(loss(depthwise))(x, jnp.asarray(kernel))  # by the platform
    for a, b, c in zip(*forms, chosen, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
        np.testing.assert_allclose(c, b, atol=1e-4)


def test_a_format_is_kept():
    x, kernel = drawn((6, 6), 3)
    low = [jnp.asarray(a, jnp.bfloat16) for a in (x, kernel)]
    assert depthwise(*low, 2).dtype == jnp.bfloat16


def norm(x, p, s, relu=True):
    y = (x - s["mean"]) / np.sqrt(s["var"] + 1e-3) * p["scale"] + p["bias"]
    return np.clip(y, 0, 6) if relu else y


def random_variables(net, x):
    """Weights of a size at which ReLU6 cuts both ways, and statistics that are not 0 and 1."""
    made = net.init(jax.random.key(0), x, False)
    rng = np.random.default_rng(2)

    def draw(path, leaf):
        name = path[-1].key
        values = rng.normal(size=leaf.shape)
        if name == "var":
            values = 0.5 + values**2
        return np.float32(3 * values if name == "scale" else values)

    return jax.tree_util.tree_map_with_path(draw, made)


@pytest.mark.parametrize(
    ("stride", "expand", "features", "skips"),
    [(1, 6, 4, True), (1, 6, 5, False), (2, 6, 4, False), (1, 1, 4, True)],
)
def test_a_block_by_hand(stride, expand, features, skips):
    """Expansion and ReLU6, depthwise and ReLU6, projection without; the input is added to like."""
    x = np.random.default_rng(3).normal(size=(2, 7, 6, 4)).astype(np.float32)
    block = InvertedResidual(features, 5, stride, expand)
    variables = random_variables(block, x)
    p, s = variables["params"], variables["batch_stats"]
    y = x.astype(np.float64)
    if expand > 1:
        y = norm(y @ p["conv_expand"]["kernel"][0, 0], p["bn_expand"], s["bn_expand"])
    y = by_loops(y, p["depthwise"], stride)
    y = norm(y, p["bn_depthwise"], s["bn_depthwise"])
    assert (y == 0).any() and (y == 6).any()
    y = y @ p["conv_project"]["kernel"][0, 0]
    y = norm(y, p["bn_project"], s["bn_project"], relu=False)
    np.testing.assert_allclose(
        block.apply(variables, x, False), y + x if skips else y, rtol=1e-4, atol=1e-3
    )


def test_maps_of_two_strides_are_joined():
    net = visual_backbone(ConfigDict({"visual": "efficientnet_lite0"}))
    assert isinstance(net, EfficientNetLite0)
    assert net.channels == 432
    assert net.scaling == Scaling((127 / 255,) * 3, (128 / 255,) * 3)
    image = np.uint8([[[0, 127, 255]]])[None]
    np.testing.assert_allclose(  # (x - 127) / 128
        normalize(image, net.scaling).ravel(), [-127 / 128, 0, 1], atol=1e-6
    )
    for side, cells in ((224, 14), (448, 28), (200, 13)):
        made = jax.eval_shape(
            lambda x: net.init_with_output(jax.random.key(0), x, False)[0],
            jax.ShapeDtypeStruct((1, side, side + 16, 3), jnp.float32),
        )
        assert made.shape == (1, cells, cells + 1, 432)


# With the weights of pip.


@pytest.fixture(scope="module")
def arrays():
    return pretrained_arrays()


@pytest.fixture(scope="module")
def maps(arrays):
    variables = efficientnet_lite0(arrays)
    net = EfficientNetLite0()
    call = jax.jit(lambda x: net.apply(variables, x, False))
    return lambda picture: np.asarray(call(normalize(picture[None], net.scaling)))


def classified(maps, arrays):
    """Chances of ImageNet's 1000 classes, by the head and the classifier that avloc leaves out."""
    f = maps[:, ::2, ::2, 112:]  # stride 32: each cell stands four times
    y = f @ arrays["_conv_head.weight"][:, :, 0, 0].T
    head = {"scale": arrays["_bn1.weight"], "bias": arrays["_bn1.bias"]}
    y = norm(y, head, {"mean": arrays["_bn1.running_mean"], "var": arrays["_bn1.running_var"]})
    logits = (y.mean((1, 2)) @ arrays["_fc.weight"].T + arrays["_fc.bias"])[0]
    chances = np.exp(logits - logits.max())
    return chances / chances.sum()


def officer():
    return np.asarray(
        Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")).convert("RGB")
    )


@pytest.mark.parametrize(
    ("photo", "label", "chance"),
    [
        (officer, 652, 0.3),  # military uniform; Windsor tie and suit come next
        (lambda: load_sample_image("flower.jpg"), 985, 0.1),  # daisy
        (lambda: load_sample_image("china.jpg"), 442, 0.2),  # bell cote: a temple's roofs
    ],
    ids=["officer", "flower", "temple"],
)
def test_it_knows_photos(maps, arrays, photo, label, chance):
    chances = classified(maps(evaluation_view(photo(), 224)), arrays)
    assert chances.argmax() == label
    assert chances[label] > chance


def test_coarse_cells_stand_four_times_and_fine_ones_once(maps):
    f = maps(evaluation_view(officer(), 224))
    assert f.shape == (1, 14, 14, 432) and np.isfinite(f).all()
    coarse = f[0, :, :, 112:].reshape(7, 2, 7, 2, 320)
    for y, x in ((0, 1), (1, 0), (1, 1)):
        np.testing.assert_array_equal(coarse[:, y, :, x], coarse[:, 0, :, 0])
    fine = f[0, :, :, :112].reshape(7, 2, 7, 2, 112)
    assert (fine[:, 1, :, 1] != fine[:, 0, :, 0]).all(axis=-1).any()


def test_what_lies_where_in_the_picture(maps):
    """Another quarter of the picture changes the cells of that quarter most."""
    picture = evaluation_view(officer(), 224)
    other = picture.copy()
    other[112:, :112] = 127
    change = np.abs(maps(picture) - maps(other))[0].mean(axis=-1)
    quarters = change.reshape(2, 7, 2, 7).mean(axis=(1, 3))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == (1, 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a.pop("_blocks.3._bn1.weight"), "lacks these arrays .*_blocks.3._bn1.weight"),
        (
            lambda a: a.update({"_conv_stem.weight": np.zeros((32, 3, 5, 5), np.float32)}),
            r"_conv_stem.weight is \[32, 3, 5, 5\], not of an EfficientNet-Lite0",
        ),
        (
            lambda a: a.update({"_bn0.weight": np.full(32, np.nan, np.float32)}),
            "_bn0.weight",
        ),
    ],
)
def test_arrays_that_do_not_fit(arrays, change, sentence):
    arrays = dict(arrays)
    change(arrays)
    with pytest.raises(ValueError, match=sentence):
        efficientnet_lite0(arrays)


def test_every_array_has_its_place(arrays):
    """None is used twice, and none is left but those of head and classifier."""
    used = []

    class Watched(dict):
        def __getitem__(self, name):
            used.append(name)
            return super().__getitem__(name)

    efficientnet_lite0(Watched(arrays))
    left = {n.split(".")[0] for n in arrays.keys() - set(used) if "num_batches" not in n}
    assert left == {"_conv_head", "_bn1", "_fc"}
    assert len(set(used)) == len(used)
