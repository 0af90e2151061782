"""Pretrained vision transformers of the package equimo, as backbones (`avloc[foundation]`).

A network of equimo is an Equinox module: a tree whose leaves are arrays and settings. The arrays
become Flax parameters by their place in the tree, `blocks.0.blocks.3.attn.qkv.weight`; what is left
is built again at every trace, which costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from avloc.inputs import IMAGENET, Scaling

_HALF = Scaling(mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))

CHANNELS: Mapping[str, int] = {
    **{f"dinov2_vit{size}14": n for size, n in dict(s=384, b=768, l=1024, g=1536).items()},
    **{f"dinov2_vit{size}14_reg": n for size, n in dict(s=384, b=768, l=1024, g=1536).items()},
    "dinov3_vits16_pretrain_lvd1689m": 384,
    "dinov3_vits16plus_pretrain_lvd1689m": 384,
    "dinov3_vitb16_pretrain_lvd1689m": 768,
    "dinov3_vitl16_pretrain_lvd1689m": 1024,
    "dinov3_vith16plus_pretrain_lvd1689m": 1280,
    **{f"siglip2_vitb16_{side}": 768 for side in (224, 256, 384, 512)},
    "siglip2_vitb32_256": 768,
    **{f"siglip2_vitl16_{side}": 1024 for side in (256, 384, 512)},
    **{f"siglip2_vitso400m14_{side}": 1152 for side in (224, 378)},
    **{f"siglip2_vitso400m16_{side}": 1152 for side in (256, 384, 512)},
}
"""Channels of each network, by the name that equimo and its files of weights have for it."""


class Foundation(nn.Module):
    """A vision transformer of equimo without its classifier; a cell is a patch.

    Pictures whose sides are no whole number of patches are scaled to the nearest one, so that the
    map still covers the whole picture. Position embeddings of another size are interpolated.

    Attributes:
      variant: a name of `CHANNELS`.
      dtype: that the network computes in; weights and output are float32.
      remat: whether the backward pass computes the blocks again.
    """

    variant: str
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @property
    def channels(self) -> int:
        return CHANNELS[self.variant]

    @property
    def scaling(self) -> Scaling:
        return _HALF if self.variant.startswith("siglip2") else IMAGENET

    @nn.compact
    def __call__(self, image: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B h w C"]:
        del train  # it has no BatchNorm, and drops nothing out
        weights = self.param("weights", lambda key: arrays_of(build(self.variant, key)))
        network = with_arrays(
            skeleton(self.variant), {name: x.astype(self.dtype) for name, x in weights.items()}
        )
        patch = network.patch_embed.patch_size
        cells = [max(1, round(n / p)) for n, p in zip(image.shape[1:3], patch, strict=True)]
        sides = [n * p for n, p in zip(cells, patch, strict=True)]
        if sides != list(image.shape[1:3]):
            image = jax.image.resize(image, (image.shape[0], *sides, 3), "bilinear")

        def patches(one: Float[Array, "H W 3"]) -> Float[Array, "n C"]:
            key = jax.random.key(0)  # asked for, but nothing is random
            with jax.numpy_dtype_promotion("standard"):
                tokens = network.features(one.transpose(2, 0, 1), key=key, inference=True)
                return jax.vmap(network.norm)(tokens[network.num_prefix_tokens :])

        run = jax.checkpoint(patches) if self.remat else patches
        made = jax.vmap(run)(image.astype(self.dtype)).astype(jnp.float32)
        return made.reshape(image.shape[0], *cells, self.channels)


def maker(variant: str) -> Callable[..., Foundation]:
    """What `config.model.visual` of that name makes."""

    def make(model: Any, *, axis_name: str | None, dtype: DTypeLike, remat: bool) -> Foundation:
        del axis_name  # no BatchNorm
        _equimo(variant)
        return Foundation(variant, dtype, remat)

    return make


def build(variant: str, key: PRNGKeyArray, *, any_size: bool = True) -> Any:
    """The Equinox module with random weights.

    Args:
      variant: a name of `CHANNELS`.
      key: of the weights.
      any_size: whether it takes pictures of any size, or of the one that it was trained on. The
        arrays are the same.

    Raises:
      ValueError: equimo is not installed.
    """
    size = {"dynamic_img_size": True} if any_size else {}
    return getattr(_equimo(variant), variant)(key=key, **size)


def skeleton(variant: str, *, any_size: bool = True) -> Any:
    """The same with shapes in place of arrays."""
    make = _equinox(variant).filter_eval_shape
    return make(build, variant, jax.random.key(0), any_size=any_size)


def arrays_of(network: Any) -> dict[str, Array]:
    """The arrays of an Equinox module, or their shapes, by their place in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(network)
    return {_place(path): leaf for path, leaf in leaves if _is_array(leaf)}


def with_arrays(network: Any, arrays: Mapping[str, Array]) -> Any:
    """The module with these arrays in place of its own, or of their shapes."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: arrays[_place(path)] if _is_array(leaf) else leaf, network
    )


def _place(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _equinox(variant: str) -> Any:
    try:
        import equimo  # noqa: F401
        import equinox
    except ImportError:
        raise ValueError(
            f"{variant} needs equimo, which is not installed: pip install 'avloc[foundation]'"
        ) from None
    return equinox


def _equimo(variant: str) -> Any:
    """equimo's file of vision transformers, which lies elsewhere since version 2."""
    _equinox(variant)
    import equimo

    if equimo.__version__.startswith("1."):
        from equimo.models import vit
    else:
        from equimo.vision.models import vit
    return vit
