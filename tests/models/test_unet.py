"""The U-Net's shapes and sizes, as in Sound-of-Pixels, and masks of guides by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from avloc.models import GuidedSeparator, ResNet, UNet
from avloc.models.unet import doubled, picture_guide


def test_the_papers_network_has_its_size():
    shapes = jax.eval_shape(
        lambda key: UNet().init(key, jnp.zeros((1, 256, 256, 1)), False), jax.random.key(0)
    )
    down = [(1, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 3]
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 32)]
    kernels = 16 * sum(a * b for a, b in down) + 9 * sum(a * b for a, b in up) + 32
    # BatchNorm: of the input, of levels 2 to 6 down, of all but the last up.
    norms = 2 * (1 + 128 + 256 + 3 * 512 + 3 * 512 + 256 + 128 + 64)
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == kernels + norms
    out = jax.eval_shape(lambda v: UNet().apply(v, jnp.zeros((1, 256, 256, 1)), False), shapes)
    assert out.shape == (1, 256, 256, 32)


def test_doubling_reads_between_cells_and_keeps_corners():
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    got = np.asarray(doubled(jnp.asarray(x)))
    assert got.shape == (1, 6, 8, 2)
    rows = np.stack([np.interp(np.linspace(0, 2, 6), np.arange(3), x[0, :, 1, 0])])
    np.testing.assert_allclose(got[0, [0, -1], 0], x[0, [0, -1], 0], rtol=1e-5)
    column = np.interp(np.linspace(0, 3, 8), np.arange(4), x[0, 0, :, 1])
    np.testing.assert_allclose(got[0, 0, :, 1], column, rtol=1e-5)
    at_second = doubled(jnp.asarray(x[:, :, 1:2]))[0, :, 0, 0]
    np.testing.assert_allclose(at_second, rows[0], rtol=1e-5)


def test_a_mask_is_the_sum_of_guided_channels():
    net = GuidedSeparator(
        visual=ResNet(4, (1, 0, 0, 0)), sound=UNet(channels=3, levels=2, width=2, deviation=0.0)
    )
    images, spectrum = jnp.ones((2, 16, 16, 3)), jnp.ones((2, 8, 4, 1))
    variables = jax.jit(net.init)(jax.random.key(0), images, spectrum)
    params = {**variables["params"], "mask_scale": jnp.array([1.0, 2.0, 3.0]), "mask_bias": -0.5}
    variables = {**variables, "params": params}
    rng = np.random.default_rng(1)
    guides, s = rng.uniform(size=(2, 5, 3)), rng.normal(size=(2, 8, 4, 3))
    got = net.apply(variables, jnp.asarray(guides), jnp.asarray(s), method="mask")
    expected = np.einsum("bgk,brnk->bgrn", guides * [1, 2, 3], s) - 0.5
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_picture_guides_by_its_highest_cells():
    i = np.zeros((1, 2, 2, 2), np.float32)
    i[0, 1, 0, 0], i[0, 0, 1, 1] = 2.0, -1.0
    np.testing.assert_allclose(picture_guide(jnp.asarray(i))[0], [1 / (1 + np.exp(-2)), 0.5])
