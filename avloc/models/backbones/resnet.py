"""ResNets whose last stage keeps the resolution ("ResNet-18-S5"), without classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.inputs import IMAGENET, PAPER_LOG_MEL, LogMel, Scaling
from avloc.models.pooling import max_pool_3x3, pooled

BLOCKS: Mapping[str, tuple[int, ...]] = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Basic blocks of each stage of the networks that have a name."""

_HE_FAN_OUT = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")


def _conv(features: int, kernel: int, stride: int, dtype: DTypeLike, name: str) -> nn.Conv:
    # Symmetric padding, as in torchvision, so that its weights give its outputs.
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=kernel // 2,
        use_bias=False,
        kernel_init=_HE_FAN_OUT,
        dtype=dtype,
        name=name,
    )


def _norm(
    x: Float[Array, "B h w C"], train: bool, dtype: DTypeLike, axis_name: str | None, name: str
) -> Float[Array, "B h w C"]:
    # Statistics, and the division by them, are float32 whatever the convolutions are.
    norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, axis_name=axis_name, name=name)
    return norm(x.astype(jnp.float32)).astype(dtype)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 2).

    Attributes:
      features: channels of the output.
      stride: of the first convolution and the shortcut.
      axis_name: mapped axis over which BatchNorm takes its statistics, where there is one.
      dtype: of convolutions and of what lies between layers; parameters and statistics are float32.
    """

    features: int
    stride: int = 1
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"], train: bool) -> Float[Array, "B h2 w2 D"]:
        def layer(x: Array, kernel: int, stride: int, name: str) -> Array:
            x = _conv(self.features, kernel, stride, self.dtype, f"conv{name}")(x)
            return _norm(x, train, self.dtype, self.axis_name, f"bn{name}")

        y = nn.relu(layer(x, 3, self.stride, "1"))
        y = layer(y, 3, 1, "2")
        if self.stride != 1 or x.shape[-1] != self.features:
            x = layer(x, 1, self.stride, "_shortcut")
        return nn.relu(x + y)


class ResNet(nn.Module):
    """ResNet for pictures and spectrograms: the papers' backbone at its defaults, ResNet-18.

    At its defaults `[B, 224, 224, 3]` gives `[B, 14, 14, 512]`: the last stage has stride 1.

    Attributes:
      width: channels of the first stage; the output has 8 times as many. The papers use 64.
      blocks: basic blocks of each stage.
      strides: of each stage's first block.
      stem_pool: whether the 3x3 max-pooling with stride 2 follows the first convolution. Small
        pictures do without it, so that 12 to 16 cells a side remain.
      axis_name, dtype: see `BasicBlock`.
      remat: whether the backward pass computes each block's inside again from its input, which
        takes time and saves memory.
      scaling, front_end: see `VisualBackbone` and `AudioBackbone`.
    """

    scaling: ClassVar[Scaling] = IMAGENET

    width: int = 64
    blocks: Sequence[int] = (2, 2, 2, 2)
    strides: Sequence[int] = (1, 2, 2, 1)
    stem_pool: bool = True
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32
    remat: bool = False
    front_end: LogMel = PAPER_LOG_MEL

    @property
    def channels(self) -> int:
        """C, channels of the last stage."""
        return self.width * 2 ** (len(self.blocks) - 1)

    def __call__(self, x: Float[Array, "B H W c"], train: bool) -> Float[Array, "B h w C"]:
        """The last stage's output."""
        return self.stages(x, train)[-1]

    @nn.compact
    def stages(self, x: Float[Array, "B H W c"], train: bool) -> list[Float[Array, "B _ _ _"]]:
        """Every stage's output, first to last."""
        outputs = []
        block_type = nn.remat(BasicBlock, static_argnums=(2,)) if self.remat else BasicBlock
        x = _conv(self.width, 7, 2, self.dtype, "conv_stem")(x)
        x = nn.relu(_norm(x, train, self.dtype, self.axis_name, "bn_stem"))
        if self.stem_pool:
            x = max_pool_3x3(x)
        for stage, (count, stride) in enumerate(zip(self.blocks, self.strides, strict=True)):
            for block in range(count):
                x = block_type(
                    self.width * 2**stage,
                    stride if block == 0 else 1,
                    self.axis_name,
                    self.dtype,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(x, train)
            outputs.append(x)
        return outputs

    def summary(self, stage: Float[Array, "B t m C"]) -> Float[Array, "B C"]:
        """Global max-pooling, float32."""
        return pooled(stage)
