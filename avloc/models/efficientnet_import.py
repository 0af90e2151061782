"""Weights of EfficientNet-Lite0 by the names of `efficientnet_pytorch`, as variables of ours.

| theirs | ours |
|---|---|
| `_conv_stem.weight`, `_bn0` | `conv_stem/kernel`, `bn_stem` |
| `_blocks.N._expand_conv.weight`, `_bn0` | `blockN/conv_expand/kernel`, `bn_expand` |
| `_blocks.N._depthwise_conv.weight`, `_bn1` | `blockN/depthwise`, `bn_depthwise` |
| `_blocks.N._project_conv.weight`, `_bn2` | `blockN/conv_project/kernel`, `bn_project` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from avloc.models.backbones.efficientnet import EfficientNetLite0
from avloc.models.weight_import import some, weight
from avloc.types import Variables

_MODULES = {
    "conv_stem": "_conv_stem",
    "bn_stem": "_bn0",
    "conv_expand": "_expand_conv",
    "bn_expand": "_bn0",
    "depthwise": "_depthwise_conv",
    "bn_depthwise": "_bn1",
    "conv_project": "_project_conv",
    "bn_project": "_bn2",
}
_LEAVES = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def efficientnet_lite0(arrays: Mapping[str, np.ndarray]) -> Variables:
    """Variables of `EfficientNetLite0`; head and classifier are not used.

    Raises:
      ValueError: an array is missing, of another shape or type, or holds what a weight cannot.
    """
    net = EfficientNetLite0()
    shapes = jax.eval_shape(
        lambda: net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.float32), False)
    )
    flat, structure = jax.tree_util.tree_flatten_with_path(shapes)
    names = [_name(path) for path, _ in flat]
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"it lacks these arrays of an EfficientNet-Lite0: {some(missing)}")
    values = [weight(name, arrays[name]) for name in names]
    for name, value, (_, wanted) in zip(names, values, flat, strict=True):
        if value.shape != wanted.shape:
            raise ValueError(f"{name} is {list(arrays[name].shape)}, not of an EfficientNet-Lite0")
    return jax.tree.unflatten(structure, values)


def _name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """`_blocks.3._bn1.weight` for `params/block3/bn_depthwise/scale`."""
    _, *modules = (key.key for key in path)
    block = re.fullmatch(r"block(\d+)", modules[0])
    parts = [f"_blocks.{block[1]}", *modules[1:]] if block else modules
    leaf = _LEAVES.get(parts[-1], "weight")
    if parts[-1] in (*_LEAVES, "kernel"):
        parts = parts[:-1]
    return ".".join([*(_MODULES.get(part, part) for part in parts), leaf])
