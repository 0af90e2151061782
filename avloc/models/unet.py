"""The U-Net of Sound-of-Pixels, and the network that it is half of."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.models.heads import EXACT
from avloc.separation.spectrum import interpolation


class UNet(nn.Module):
    """From the log spectrum of a mixture to `channels` maps of its size.

    At its defaults as in Sound-of-Pixels: `[B, 256, 256, 1]` goes down to `[B, 2, 2, 512]`.

    Attributes:
      channels: K, of the output.
      levels: times that both sides are halved; each side must be a multiple of `2 ** levels`.
      width: channels of the first level; later ones double up to 8 times as many.
      deviation: of the first weights; 0: He et al.'s, which small networks learn from faster.
      axis_name, dtype: see `ResNet`.
    """

    channels: int = 32
    levels: int = 7
    width: int = 64
    deviation: float = 0.001
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B R N 1"], train: bool) -> Float[Array, "B R N K"]:
        def conv(x: Array, features: int, size: int, stride: int, name: str) -> Array:
            return nn.Conv(
                features,
                (size, size),
                (stride, stride),
                padding=1,
                use_bias=name == "out",
                kernel_init=self._kernel_init(),
                dtype=self.dtype,
                name=name,
            )(x)

        def norm(x: Array, name: str) -> Array:
            # Statistics, and the division by them, are float32 whatever the convolutions are.
            layer = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                axis_name=self.axis_name,
                scale_init=_about_one,
                name=name,
            )
            return layer(x.astype(jnp.float32)).astype(self.dtype)

        widths = [self.width * min(2**level, 8) for level in range(self.levels)]
        skips = []
        x = norm(x, "bn_in")
        for level, features in enumerate(widths):
            if level:
                skips.append(x)
                x = nn.leaky_relu(x, 0.2)
            x = conv(x, features, 4, 2, f"down{level + 1}")
            if 0 < level < self.levels - 1:
                x = norm(x, f"bn_down{level + 1}")
        for level in reversed(range(1, self.levels)):
            x = conv(doubled(nn.relu(x)), widths[level - 1], 3, 1, f"up{level + 1}")
            x = jnp.concatenate([skips.pop(), norm(x, f"bn_up{level + 1}")], axis=-1)
        return conv(doubled(nn.relu(x)), self.channels, 3, 1, "out").astype(jnp.float32)

    def _kernel_init(self) -> nn.initializers.Initializer:
        if self.deviation:
            return nn.initializers.normal(self.deviation)
        return nn.initializers.he_normal()


def _about_one(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def doubled(x: Float[Array, "B h w C"]) -> Float[Array, "B 2h 2w C"]:
    """Twice as many rows and columns, bilinear, the corners staying where they are."""
    for axis in (1, 2):
        size = x.shape[axis]
        matrix = interpolation(np.linspace(0, 1, 2 * size), size).astype(x.dtype)
        x = jnp.moveaxis(jnp.tensordot(matrix, x, (1, axis)), 0, axis)
    return x


class Separator(nn.Module):
    """Guides and sounds to masks.

    Attributes:
      sound: of as many channels as a guide has.
    """

    sound: UNet

    def setup(self) -> None:
        self.mask_scale = self.param("mask_scale", nn.initializers.ones, (self.sound.channels,))
        self.mask_bias = self.param("mask_bias", nn.initializers.zeros, ())

    def __call__(
        self, guides: Float[Array, "B G K"], spectrum: Float[Array, "B R N 1"], train: bool = False
    ) -> Float[Array, "B G R N"]:
        """Mask logits of the guides of each sound; for `init`."""
        return self.mask(guides, self.listen(spectrum, train))

    def listen(
        self, spectrum: Float[Array, "B R N 1"], train: bool = False
    ) -> Float[Array, "B R N K"]:
        """`s`, the spectral maps of a mixture."""
        return self.sound(spectrum, train)

    def mask(
        self, guides: Float[Array, "B G K"], s: Float[Array, "B R N K"]
    ) -> Float[Array, "B G R N"]:
        """Logits of the mask of each guide: `sum_k w_k g_k s_k + b`."""
        scaled = guides * self.mask_scale
        return jnp.einsum("bgk,brnk->bgrn", scaled, s, precision=EXACT) + self.mask_bias


def picture_guide(i: Float[Array, "B h w K"]) -> Float[Array, "B K"]:
    """The guide that a whole picture gives: its maximum over space, 0 to 1."""
    return jax.nn.sigmoid(i.max(axis=(1, 2)))


class GuidedSeparator(Separator):
    """Pictures to guides, sounds to spectral maps, and both to masks (Sound-of-Pixels).

    Attributes:
      visual: the backbone, see `avloc.models.backbones`.
      sound: of as many channels as a guide has.
      frozen: `("visual",)` where the backbone stays as it is.
      standardized: whether each channel of the backbone's map has mean 0 and deviation 1, over a
        batch in training; for backbones with weights from elsewhere.
    """

    visual: nn.Module | None = None
    frozen: tuple[str, ...] = ()
    standardized: bool = False

    def setup(self) -> None:
        if self.standardized:
            self.standard = nn.BatchNorm(
                momentum=0.9, use_scale=False, use_bias=False, axis_name=self.sound.axis_name
            )
        self.objects = nn.Conv(self.sound.channels, (3, 3), padding=1)
        super().setup()

    def __call__(
        self, image: Float[Array, "B H W 3"], spectrum: Float[Array, "B R N 1"], train: bool = False
    ) -> Float[Array, "B 1 R N"]:
        """Mask logits of each picture's own sound; for `init`."""
        guide = picture_guide(self.see(image, train))
        return self.mask(guide[:, None], self.listen(spectrum, train))

    def look(self, image: Float[Array, "B H W 3"], train: bool = False) -> Float[Array, "B h w C"]:
        """The visual backbone's own map."""
        if "visual" in self.frozen:
            return jax.lax.stop_gradient(self.visual(image, False))
        return self.visual(image, train)

    def see(self, image: Float[Array, "B H W c"], train: bool = False) -> Float[Array, "B h w K"]:
        """`i(x, y)`; `image` may be what `look` made of it before."""
        raw = self.look(image, train) if image.shape[-1] == 3 else image
        raw = raw.astype(jnp.float32)
        if self.standardized:
            raw = self.standard(raw, use_running_average=not train)
        return self.objects(raw)
