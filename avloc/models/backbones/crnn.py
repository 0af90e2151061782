"""The audio network of C2F: inverted residuals, then a recurrent layer over time ("CRNN").

Layer by layer that of the published code, a MobileNet-like front with one bidirectional GRU; its
weights, learnt from tags of AudioSet, are not published.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.inputs import COARSE_LOG_MEL, LogMel
from avloc.models.backbones.efficientnet import depthwise

_BLOCKS = ((1, False), (2, True), (2, False), (4, True), (4, False), (8, True), (8, False))
"""Of each block: channels as multiples of the width; whether frequency is pooled before it."""


class CRNN(nn.Module):
    """From log-mel spectrograms to `F_a`, and to a vector for each of its frames.

    `[B, 251, 64, 1]`, five seconds, gives `F_a` of `[B, 63, 2, 512]`, a frame for 80 ms.

    Attributes:
      width: channels of the first stage, 64 in the paper; the last one has 8 times as many.
      hidden: of the GRU in each direction.
      axis_name, dtype, remat: see `ResNet`; `remat` is not used, as the network is small.
      front_end: see `AudioBackbone`.
    """

    width: int = 64
    hidden: int = 128
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32
    remat: bool = False
    front_end: LogMel = COARSE_LOG_MEL

    @property
    def channels(self) -> int:
        """Of the vectors of frames, and of their mean."""
        return 2 * self.hidden

    def setup(self) -> None:
        self.first = _First(self.width, self.axis_name, self.dtype)
        self.blocks = [
            _Block(self.width * times, self.axis_name, self.dtype) for times, _ in _BLOCKS
        ]
        ahead, back = nn.GRUCell(self.hidden), nn.GRUCell(self.hidden)
        self.recurrent = nn.Bidirectional(nn.RNN(ahead), nn.RNN(back))

    def stages(self, spectrogram: Float[Array, "B T F 1"], train: bool) -> list[Array]:
        """What stands before each pooling of frequency, and `F_a`."""
        x = self.first(spectrogram, train)
        outputs = []
        for block, (_, pool) in zip(self.blocks, _BLOCKS, strict=True):
            if pool:
                outputs.append(x)
                x = nn.max_pool(x, (1, 2), (1, 2))
            x = block(x, train)
        return [*outputs, x]

    def frames(self, stage: Float[Array, "B t m c"]) -> Float[Array, "B t C"]:
        """A vector for each frame of `F_a`, by the recurrent layer, float32."""
        flat = stage.reshape(*stage.shape[:2], -1).astype(jnp.float32)
        return self.recurrent(flat)

    def summary(self, stage: Float[Array, "B t m c"]) -> Float[Array, "B C"]:
        """The mean of the frames."""
        return self.frames(stage).mean(axis=1)


class _First(nn.Module):
    features: int
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        x = _norm(self, x, train, "bn_input")
        x = nn.Conv(self.features, (5, 5), (2, 2), use_bias=False, dtype=self.dtype, name="conv")(x)
        x = nn.swish(_norm(self, x, train, "bn"))
        return nn.max_pool(x, (2, 2), (2, 2), padding="SAME")


class _Block(nn.Module):
    """Expansion by 6, depthwise 3x3, linear projection (Sandler et al. 2018, figure 3b)."""

    features: int
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        inside = 6 * x.shape[-1]
        y = nn.Conv(inside, (1, 1), use_bias=False, dtype=self.dtype, name="conv_expand")(x)
        y = nn.relu6(_norm(self, y, train, "bn_expand"))
        initial = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
        kernel = self.param("depthwise", initial, (3, 3, 1, inside))
        y = nn.relu6(_norm(self, depthwise(y, kernel.astype(y.dtype), 1), train, "bn_depthwise"))
        y = nn.Conv(self.features, (1, 1), use_bias=False, dtype=self.dtype, name="conv_project")(y)
        y = _norm(self, y, train, "bn_project")
        return x + y if y.shape == x.shape else y


def _norm(net: nn.Module, x: Array, train: bool, name: str) -> Array:
    """BatchNorm in float32, by a network's `axis_name`, in its `dtype` again."""
    layer = nn.BatchNorm(
        use_running_average=not train, momentum=0.9, axis_name=net.axis_name, name=name
    )
    return layer(x.astype(jnp.float32)).astype(net.dtype)


def linear_softmax(p: Float[Array, "B t K"]) -> Float[Array, "B K"]:
    """`sum_t p_t^2 / sum_t p_t`: a class of a clip by its frames, the surer ones above all."""
    p = jnp.clip(p, 1e-7, 1.0)
    return jnp.sum(jnp.square(p), axis=1) / jnp.sum(p, axis=1)


def linear_softmax_logits(frames: Float[Array, "B t K"]) -> Float[Array, "B K"]:
    """The logit of `linear_softmax` of the sigmoid of each frame's logit."""
    p = jnp.clip(linear_softmax(jax.nn.sigmoid(frames)), 1e-6, 1 - 1e-6)
    return jnp.log(p) - jnp.log1p(-p)
