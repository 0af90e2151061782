"""Weights of a ResNet by torchvision's names, as variables of our `ResNet`.

torchvision and timm name and shape the arrays of a plain ResNet-18 or -34 alike, so one rule
serves both:

| theirs | ours |
|---|---|
| `conv1.weight`, `[out, in, height, width]` | `conv_stem/kernel`, `[height, width, in, out]` |
| `bn1.weight`, `.bias`, `.running_mean`, `.running_var` | `bn_stem/scale`, `bias`, `mean`, `var` |
| `layer2.0.conv1.weight` | `stage2_block1/conv1/kernel` |
| `layer2.0.downsample.0`, `.1` | `stage2_block1/conv_shortcut`, `bn_shortcut` |

Padding, epsilon and the max-pooling of our `ResNet` are theirs, so equal weights give equal
outputs; `strides=(1, 2, 2, 2)` is their last stage, ours keeps the resolution.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avloc.models.backbones.resnet import BLOCKS, ResNet
from avloc.types import Variables

_FIRST = "layer1.0.conv1.weight"
_MODULES = {
    "conv_stem": "conv1",
    "bn_stem": "bn1",
    "conv_shortcut": "downsample.0",
    "bn_shortcut": "downsample.1",
}
_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


class ImportedWeights(NamedTuple):
    """A backbone out of another library's arrays.

    Attributes:
      variables: `params` and `batch_stats` of `ResNet(width, blocks)`, or `params` of
        `Foundation`; float32.
      architecture: a key of `BLOCKS` or `foundation.CHANNELS`. width: channels of the first stage.
      prefix: what stood before every name.
      unused: names of the arrays that were not taken, whole.
    """

    variables: Variables
    architecture: str
    width: int
    prefix: str
    unused: tuple[str, ...]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Of each stage; empty where it has none."""
        return BLOCKS.get(self.architecture, ())


def from_torch(arrays: Mapping[str, np.ndarray]) -> ImportedWeights:
    """Variables of our `ResNet` from arrays by torchvision's or timm's names.

    Names may all have a prefix, such as `module.`; what stands behind the backbone, such as `fc`,
    and counts of batches are not used.

    Args:
      arrays: of a ResNet-18 or -34 of any width, of any float type.

    Raises:
      ValueError: another network, an array that is missing, of another shape or type, or not
        finite, or a negative variance.
    """
    prefix = _prefix(arrays)
    given = {name.removeprefix(prefix): name for name in arrays if name.startswith(prefix)}
    architecture = _architecture(given)
    first = arrays[given[_FIRST]].shape
    if len(first) != 4 or not first[0]:
        raise ValueError(f"{_FIRST} is {list(first)}, not of shape [width, width, 3, 3]")
    shapes, structure = jax.tree_util.tree_flatten_with_path(
        _shapes(first[0], BLOCKS[architecture])
    )
    names = [_torch_name(path) for path, _ in shapes]
    if missing := sorted(name for name in names if name not in given):
        raise ValueError(f"it lacks these arrays of a {architecture}: {some(missing)}")
    unused = [name for name in given if name not in set(names)]
    if other := [name for name in unused if _in_backbone(name)]:
        raise ValueError(
            f"it has what a plain {architecture} has not: {some(other)}: it is another network, "
            "and ours would not give its outputs"
        )
    wanted = {
        name: x.shape if x.ndim == 1 else tuple(x.shape[i] for i in (3, 2, 0, 1))
        for name, (_, x) in zip(names, shapes, strict=True)
    }
    if wrong := [
        f"{name} is {list(arrays[given[name]].shape)}, not {list(shape)}"
        for name, shape in wanted.items()
        if arrays[given[name]].shape != shape
    ]:
        raise ValueError(f"of a {architecture} of width {first[0]}, {some(wrong)}")
    values = [weight(name, arrays[given[name]]) for name in names]
    used = {given[name] for name in names}
    return ImportedWeights(
        jax.tree.unflatten(structure, values),
        architecture,
        first[0],
        prefix,
        tuple(name for name in arrays if name not in used),
    )


def some(words: Iterable[str], most: int = 12) -> str:
    """The first of the words, and how many more there are; without control characters."""
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join([w if w.isprintable() else ascii(w) for w in words[:most]] + more)


def _prefix(names: Iterable[str]) -> str:
    """What stands before `layer1.0.conv1.weight`."""
    found = [name.removesuffix(_FIRST) for name in names if name.endswith(_FIRST)]
    found = [prefix for prefix in found if prefix[-1:] in ("", ".")]
    if not found:
        raise ValueError(
            f"no array is called {_FIRST}: it holds no {' or '.join(BLOCKS)} by torchvision's or "
            "timm's names"
        )
    if len(found) > 1:
        raise ValueError(
            f"it holds {len(found)} networks, by the prefixes {some(map(repr, found))}: keep one"
        )
    return found[0]


def _architecture(names: Iterable[str]) -> str:
    """That which has all the blocks that are named."""
    blocks = {match.groups() for name in names if (match := re.match(r"layer(\d+)\.(\d+)\.", name))}
    if any(re.fullmatch(r"layer\d+\.\d+\.conv3\.weight", name) for name in names):
        raise ValueError(
            "it has blocks of three convolutions, as ResNet-50 and deeper: take a "
            f"{' or '.join(BLOCKS)}"
        )
    for architecture, counts in BLOCKS.items():
        known = {(str(i + 1), str(j)) for i, count in enumerate(counts) for j in range(count)}
        if blocks <= known:
            return architecture
    raise ValueError(f"it has more blocks than a {' or '.join(BLOCKS)}: take one of these")


def _shapes(width: int, blocks: tuple[int, ...]) -> Variables:
    net = ResNet(width, blocks)
    return jax.eval_shape(
        lambda: net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.float32), False)
    )


def _torch_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """`layer2.0.conv1.weight` for `params/stage2_block1/conv1/kernel`."""
    _, *modules, leaf = (key.key for key in path)
    parts = [_MODULES.get(module, module) for module in modules]
    if match := re.fullmatch(r"stage(\d+)_block(\d+)", parts[0]):
        parts[0] = f"layer{match[1]}.{int(match[2]) - 1}"
    return ".".join([*parts, _LEAVES.get(leaf, leaf)])


def _in_backbone(name: str) -> bool:
    """Whether an array acts on the features; counts of batches do not."""
    return bool(re.match(r"(conv|bn|layer)\d", name)) and not name.endswith(".num_batches_tracked")


def weight(name: str, array: np.ndarray) -> np.ndarray:
    """An array as Flax has it: float32, convolutions as `[height, width, in, out]`.

    Raises:
      ValueError: it is no float, not finite, or a negative variance.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{name} is of type {array.dtype}: weights are floats")
    with np.errstate(over="ignore"):
        value = np.asarray(array, np.float32)
    if not np.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinity")
    if name.endswith("running_var") and value.min() < 0:
        raise ValueError(f"{name} holds a negative variance")
    return np.ascontiguousarray(value.transpose(2, 3, 1, 0)) if value.ndim == 4 else value
