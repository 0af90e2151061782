"""bfloat16 in convolutions and dense layers, float32 in all that is kept, compared or averaged."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.models import AudioVisualNet, InstanceNet, ResNet
from avloc.models.backbones.resnet import BasicBlock

BACKBONE = ResNet(width=4, blocks=(0, 1, 0, 1))
SMALL = {"clusters": 3, "visual": BACKBONE, "audio": BACKBONE.clone(), "embedding": 16}
NETS = {
    "csol": AudioVisualNet(**SMALL),
    "ier": InstanceNet(**SMALL, middle=8),
    "ier factored": InstanceNet(**SMALL, middle=8, steps="factored", rank=4),
}
IMAGE = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
SOUND = jax.random.normal(jax.random.key(2), (4, 32, 32, 1))


def half(net):
    parts = {name: getattr(net, name).clone(dtype=jnp.bfloat16) for name in ("visual", "audio")}
    return net.clone(dtype=jnp.bfloat16, **parts)


def dtypes(tree):
    return {str(x.dtype) for x in jax.tree.leaves(tree)}


@pytest.fixture(scope="module")
def variables():
    net = NETS["csol"]
    return jax.jit(net.init)(jax.random.key(0), IMAGE, SOUND)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_dtypes_of_every_intermediate(name, train):
    net = half(NETS[name])

    def run(key):
        made = net.init(key, IMAGE, SOUND)
        out, new = net.apply(
            made,
            IMAGE,
            SOUND,
            train,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: isinstance(
                module, nn.Conv | nn.Dense | nn.BatchNorm | BasicBlock
            ),
        )
        return made, out, new

    with jax.numpy_dtype_promotion("strict"):
        made, out, new = jax.eval_shape(run, jax.random.key(0))
    layers = jax.tree_util.tree_leaves_with_path(new["intermediates"])
    norms = [x for path, x in layers if any("bn" in str(part) for part in path)]
    others = [x for path, x in layers if not any("bn" in str(part) for part in path)]
    # In each backbone a stem, then 3 convolutions and 3 normalisations a block, and the block.
    assert len(norms) == 2 * (1 + 2 * 3) and len(others) > 2 * (1 + 2 * 4)
    assert dtypes(norms) == {"float32"} and dtypes(others) == {"bfloat16"}
    assert dtypes(out) == dtypes(made) == dtypes(new["batch_stats"]) == {"float32"}


@pytest.mark.parametrize("name", NETS)
def test_float32_promotes_nothing(name):
    net = NETS[name]
    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(lambda key: net.init_with_output(key, IMAGE, SOUND), jax.random.key(0))
    assert dtypes(out) == {"float32"}


def test_statistics_are_those_of_float32():
    """The mean of bfloat16 numbers far from 0, which sums in bfloat16 miss by whole percents."""
    block = BasicBlock(4, dtype=jnp.bfloat16)
    x = (5 + jax.random.normal(jax.random.key(0), (8, 16, 16, 4))).astype(jnp.bfloat16)

    @jax.jit
    def run(key):
        made = block.init(key, x, True)
        kept = ["batch_stats", "intermediates"]
        return block.apply(made, x, True, mutable=kept, capture_intermediates=True)

    _, new = run(jax.random.key(1))
    (conv,) = new["intermediates"]["conv1"]["__call__"]
    assert conv.dtype == jnp.bfloat16
    values = np.asarray(conv, np.float64)
    got = new["batch_stats"]["bn1"]
    # A compiler may leave out roundings between layers; one of the mean itself would be 2^-9.
    near = {"rtol": 2**-12}
    np.testing.assert_allclose(got["mean"], 0.1 * values.mean((0, 1, 2)), **near)
    np.testing.assert_allclose(got["var"], 0.9 + 0.1 * values.var((0, 1, 2)), **near)


def test_maps_are_near_those_of_float32(variables):
    """Rounding to bfloat16 changes a value by 2^-9 of it at most.

    On its way to `v` a value is rounded once as input, and in each layer as kernel, as product and
    as normalised output: stem 3, each of two blocks 3 x 3 and their sum; the two dense layers have
    input, kernel, bias and output. Independent errors add as their squares, and normalisation keeps
    their share. The cosine of unit vectors moves by no more than both vectors do, the sigmoid of
    `scale x + bias` by a quarter of `scale` times that.
    """
    roundings = 1 + 3 + 2 * (3 * 3 + 1) + 2 * 4
    share = 2**-9 * np.sqrt(roundings)
    full, rounded = (
        jax.jit(net.apply)(variables, IMAGE, SOUND) for net in (NETS["csol"], half(NETS["csol"]))
    )

    def rms(difference):
        return float(np.sqrt(np.mean(np.sum(np.square(difference), axis=-1))))

    for name in ("v", "a"):
        error = rms(getattr(full, name) - getattr(rounded, name))
        assert 2**-12 < error < share, (name, error)
    maps = full.localization() - rounded.localization()
    limit = float(full.scale) / 4 * np.hypot(share, share)
    error = float(np.sqrt(np.mean(np.square(maps))))
    assert 0 < error < limit, (error, limit)
    assert np.abs(maps).max() < 4 * limit
