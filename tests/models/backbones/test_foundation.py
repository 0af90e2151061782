"""Networks of equimo as backbones: true shapes, random weights."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.configs import csol
from avloc.inputs import IMAGENET
from avloc.models.backbones import visual_backbone
from avloc.models.backbones.foundation import (
    CHANNELS,
    Foundation,
    arrays_of,
    build,
    skeleton,
    with_arrays,
)


def weights_of(variant: str, seed: int = 0) -> dict[str, jax.Array]:
    """Random ones, of a size that keeps what goes through the network near 1."""
    draw = np.random.default_rng(seed)
    made = {}
    for place, x in arrays_of(skeleton(variant)).items():
        mean = 1.0 if place.endswith(("norm.weight", "gamma", "freqs")) else 0.0
        made[place] = jnp.asarray(draw.normal(mean, 0.05, x.shape), jnp.float32)
    return made


def apply(network: Foundation, weights, image) -> np.ndarray:
    run = jax.jit(lambda w, x: network.apply({"params": {"weights": w}}, x, False))
    return np.asarray(run(weights, image))


def pictures(height: int, width: int, batch: int = 1) -> np.ndarray:
    draw = np.random.default_rng(1)
    return draw.normal(size=(batch, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("variant", CHANNELS)
def test_the_table_is_equimos(variant):
    shapes = arrays_of(skeleton(variant))
    assert shapes["norm.weight"].shape == (CHANNELS[variant],)
    assert {x.dtype for x in shapes.values()} == {jnp.dtype("float32")}
    # The same arrays, whatever the size of the pictures, so that files of weights fit.
    fixed = arrays_of(skeleton(variant, any_size=False))
    assert {k: x.shape for k, x in fixed.items()} == {k: x.shape for k, x in shapes.items()}


def test_a_file_has_about_as_many_numbers_as_the_network_is_said_to_have():
    for variant, millions in (("dinov2_vits14", 22.06), ("siglip2_vitb16_224", 85.80)):
        size = sum(x.size for x in arrays_of(skeleton(variant)).values())
        assert size / 1e6 == pytest.approx(millions, abs=0.01)


def layer_norm(x, scale, bias, eps):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * scale + bias


def plain_dinov2(weights, image, heads: int = 6) -> np.ndarray:
    """DINOv2 as its paper and a plain vision transformer have it, for 37 x 37 patches of 14."""
    w = {place: np.asarray(x, np.float64) for place, x in weights.items()}
    side = image.shape[0] // 14
    x = image.astype(np.float64).reshape(side, 14, side, 14, 3).transpose(0, 2, 4, 1, 3)
    kernel = w["patch_embed.proj.weight"].reshape(384, -1)
    x = x.reshape(side * side, -1) @ kernel.T + w["patch_embed.proj.bias"].ravel()
    x = np.concatenate([w["cls_token"], x]) + w["global_pos_embed.weight"]
    for n in range(12):
        place = f"blocks.0.blocks.{n}."
        b = {k.removeprefix(place): v for k, v in w.items() if k.startswith(place)}
        y = layer_norm(x, b["prenorm.weight"], b["prenorm.bias"], 1e-6)
        y = y @ b["attn.qkv.weight"].T + b["attn.qkv.bias"]
        q, k, v = y.reshape(-1, 3, heads, 64).transpose(1, 2, 0, 3)  # [heads, tokens, 64] each
        logits = q @ k.transpose(0, 2, 1) / 8
        seen = np.exp(logits - logits.max(-1, keepdims=True))
        y = (seen / seen.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(x), -1)
        x = x + b["ls1.gamma"] * (y @ b["attn.proj.weight"].T + b["attn.proj.bias"])
        y = layer_norm(x, b["norm.weight"], b["norm.bias"], 1e-6)
        y = y @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"]
        y = 0.5 * y * (1 + np.asarray(jax.scipy.special.erf(jnp.asarray(y / np.sqrt(2)))))
        x = x + b["ls2.gamma"] * (y @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"])
    x = layer_norm(x[1:], w["norm.weight"], w["norm.bias"], 1e-6)
    return x.reshape(side, side, 384)


def test_dinov2_is_the_transformer_of_its_paper():
    """At the size that it was trained on, where position embeddings stay as they are."""
    weights, image = weights_of("dinov2_vits14"), pictures(518, 518)
    got = apply(Foundation("dinov2_vits14"), weights, image)
    assert got.shape == (1, 37, 37, 384)
    expected = plain_dinov2(weights, image[0])
    assert expected.std() > 0.5
    np.testing.assert_allclose(got[0], expected, atol=2e-3)


@pytest.mark.parametrize(
    ("variant", "patch"),
    [
        ("dinov2_vits14_reg", 14),
        ("dinov3_vits16_pretrain_lvd1689m", 16),
        ("siglip2_vitb32_256", 32),
    ],
)
def test_cells_are_patches_whatever_the_size_of_the_picture(variant, patch):
    """Each family has other tokens in front of the patches: class and register, or none."""
    weights, network = weights_of(variant), Foundation(variant)
    image = pictures(2 * patch, 3 * patch, batch=2)
    got = apply(network, weights, image)
    assert got.shape == (2, 2, 3, CHANNELS[variant]) and got.dtype == np.float32
    module = with_arrays(skeleton(variant), weights)
    tokens = eqx.filter_jit(module.features)(
        jnp.asarray(image[1].transpose(2, 0, 1)), key=jax.random.key(1), inference=True
    )
    assert len(tokens) == 6 + module.num_prefix_tokens
    last = jax.vmap(module.norm)(tokens[-6:]).reshape(2, 3, -1)
    np.testing.assert_allclose(got[1], last, atol=1e-4)
    # A picture a little larger is scaled: its map has as many cells.
    assert apply(network, weights, pictures(2 * patch + 3, 3 * patch - 5)).shape == (
        1,
        *got.shape[1:],
    )


def test_parameters_are_the_arrays_and_gradients_reach_them():
    variant = "dinov3_vits16_pretrain_lvd1689m"
    network, weights = Foundation(variant), weights_of(variant)
    image = pictures(32, 32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image, False)
    assert set(shapes) == {"params"}
    same = jax.tree.map(lambda a, b: a.shape == b.shape, shapes["params"]["weights"], weights)
    assert all(same.values())

    @jax.jit
    @jax.grad
    def slopes(w):
        made = Foundation(variant, remat=True).apply({"params": {"weights": w}}, image, True)
        return (made[..., 0] ** 2).sum()

    found = slopes(weights)
    assert all(np.isfinite(x).all() for x in found.values())
    # Nothing is masked, and the frequencies of the position code are not learnt.
    unused = {place for place, x in found.items() if not x.any()}
    assert unused == {"mask_token", "local_pos_embed.patch_rope.freqs"}


def test_bfloat16_is_near_float32():
    variant, image = "siglip2_vitb32_256", pictures(64, 64)
    exact = apply(Foundation(variant), weights_of(variant), image)
    coarse = apply(Foundation(variant, dtype=jnp.bfloat16), weights_of(variant), image)
    assert coarse.dtype == np.float32
    assert 0 < np.abs(exact - coarse).mean() < 0.05 * exact.std()


def test_it_is_chosen_by_name_and_says_its_input():
    config = csol.base()
    config.model.visual = "siglip2_vitb16_224"
    network = visual_backbone(config.model, axis_name=None, dtype=jnp.float32, remat=False)
    assert network.channels == 768
    assert network.scaling.mean == network.scaling.deviation == (0.5, 0.5, 0.5)
    assert Foundation("dinov2_vits14").scaling == IMAGENET


def test_without_equimo_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "equimo", None)
    config = csol.base()
    config.model.visual = "dinov2_vits14"
    sentence = (
        r"dinov2_vits14 needs equimo, which is not installed: pip install 'avloc\[foundation\]'"
    )
    with pytest.raises(ValueError, match=sentence):
        visual_backbone(config.model, axis_name=None, dtype=jnp.float32, remat=False)
    with pytest.raises(ValueError, match=sentence):
        build("dinov2_vits14", jax.random.key(0))
