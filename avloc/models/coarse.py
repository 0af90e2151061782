"""The network of C2F: class and correspondence branches that share no weights, projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.models.audiovisual import AudioVisualNet, Embeddings
from avloc.models.backbones.crnn import linear_softmax_logits
from avloc.models.backbones.resnet import BasicBlock
from avloc.models.heads import unit


class Branches(NamedTuple):
    """Maps and class scores of pictures and sounds; float32.

    Attributes:
      f_v, f_a: maps that classes are told by. e_v, e_a: maps of the correspondence branches.
      visual_logits, audio_logits: of each class, before the sigmoid.
    """

    f_v: Float[Array, "B h w C"]
    e_v: Float[Array, "B y x D"]
    f_a: Float[Array, "B t m c"]
    e_a: Float[Array, "B s n d"]
    visual_logits: Float[Array, "B K"]
    audio_logits: Float[Array, "B K"]


class CoarseNet(AudioVisualNet):
    """`AudioVisualNet` with what C2F learns (C2F 3.1 and 3.2).

    The correspondence branch of pictures is a second copy of the backbone's last stage, on the
    stage before it (`O_v`). Where the backbone is frozen, or has no stages, it stands on its map.

    Attributes:
      audio_branch: `convolutions`, the paper's three on `F_a`, with pooling of time between them;
        `stage`, the simplified code's: a second copy of the last stage of an audio `resnet`.
      hidden: of the pair classifier, 128 in the paper.
      projection: widths of the two layers into the common space.
      branch_axis: mapped axis of the branches' BatchNorm.
    """

    audio_branch: str = "convolutions"
    hidden: int = 128
    projection: Sequence[int] = (1024, 128)
    branch_axis: str | None = None

    def setup(self) -> None:
        super().setup()
        common = {"axis_name": self.branch_axis, "dtype": self.dtype}
        self.visual_classes = nn.Dense(self.clusters, dtype=self.dtype)
        self.audio_classes = nn.Dense(self.clusters, dtype=self.dtype)
        self.visual_branch = _Stage(*_last_stage(self.visual), **common)
        if self.audio_branch == "stage" and hasattr(self.audio, "strides"):
            self.sound_branch = _Stage(*_last_stage(self.audio), **common)
        elif self.audio_branch == "convolutions":
            self.sound_branch = _Convolutions(self.visual.channels, **common)
        else:
            raise ValueError(
                "config.model.audio_branch is 'convolutions', or 'stage' of a resnet, not "
                f"{self.audio_branch!r}"
            )
        self.pair = _Pair(self.hidden, self.dtype)
        self.seen = _Projection(self.projection, self.dtype)
        self.heard = _Projection(self.projection, self.dtype)

    def __call__(
        self,
        image: Float[Array, "B H W 3"],
        spectrogram: Float[Array, "B T F 1"],
        train: bool = False,
    ) -> Embeddings:
        """As there."""
        if self.is_initializing():
            made = self.disentangle(image, spectrogram, train)
            sound = made.e_a.mean(axis=(1, 2))
            picture = made.e_v[: len(sound)].mean(axis=(1, 2))  # without drawn negatives
            self.correspond(sound, picture)
            self.project_heard(sound), self.project_seen(picture)
        return super().__call__(image, spectrogram, train)

    def disentangle(
        self,
        image: Float[Array, "B H W 3"],
        spectrogram: Float[Array, "B T F 1"],
        train: bool = False,
    ) -> Branches:
        """Both branches of both modalities."""
        before, f_v = self._picture(image, train)
        stages = self.listen(spectrogram, train)
        alone = stages[-2 if self.audio_branch == "stage" else -1]
        f_v, f_a = f_v.astype(jnp.float32), stages[-1].astype(jnp.float32)
        return Branches(
            f_v=f_v,
            e_v=self.visual_branch(before, train).astype(jnp.float32),
            f_a=f_a,
            e_a=self.sound_branch(alone, train).astype(jnp.float32),
            visual_logits=self.visual_classes(f_v.mean(axis=(1, 2))).astype(jnp.float32),
            audio_logits=self.hear_classes(f_a),
        )

    def hear_classes(self, f_a: Float[Array, "B t m c"]) -> Float[Array, "B K"]:
        """Logits of classes: of the mean of `F_a`, or, with a recurrent layer, of its frames."""
        if hasattr(self.audio, "frames"):
            frames = self.audio_classes(self.audio.frames(f_a)).astype(jnp.float32)
            return linear_softmax_logits(frames)
        return self.audio_classes(f_a.mean(axis=(1, 2))).astype(jnp.float32)

    def correspond(self, sound: Float[Array, "... d"], picture: Float[Array, "... D"]) -> Array:
        """Logit of belonging together; the leading axes are broadcast."""
        return self.pair(sound, picture)

    def project_seen(self, x: Float[Array, "... D"]) -> Float[Array, "... E"]:
        """`g_v`: unit vectors in the common space."""
        return self.seen(x)

    def project_heard(self, x: Float[Array, "... d"]) -> Float[Array, "... E"]:
        """`g_a`."""
        return self.heard(x)

    def _picture(self, image: Array, train: bool) -> tuple[Array, Array]:
        if "visual" in self.frozen or not hasattr(self.visual, "stages"):
            f_v = self.see(image, train)
            return f_v, f_v
        *_, before, f_v = self.visual.stages(image, train)
        return before, self.standard(f_v.astype(jnp.float32)) if self.standardized else f_v


def _last_stage(backbone: nn.Module) -> tuple[int, int, int]:
    """Channels, blocks and stride of a ResNet's last stage; of the usual ones for another."""
    blocks, strides = getattr(backbone, "blocks", (2,)), getattr(backbone, "strides", (1,))
    return backbone.channels, blocks[-1], strides[-1]


class _Stage(nn.Module):
    """A last stage of a ResNet, apart from the backbone's own."""

    features: int
    count: int
    stride: int
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        for block in range(self.count):
            stride = self.stride if block == 0 else 1
            made = BasicBlock(self.features, stride, self.axis_name, self.dtype)
            x = made(x, train)
        return x


class _Convolutions(nn.Module):
    """C2F figure 3: 3x1 with dilation 2 in time, 1x2 with stride 2 in frequency, 3x1."""

    features: int
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        x = self._layer(x, train, (3, 1), dilation=(2, 1))
        x = nn.max_pool(x, (2, 1), (2, 1), "SAME")
        x = self._layer(x, train, (1, 2), strides=(1, 2))
        x = self._layer(x, train, (3, 1))
        return nn.max_pool(x, (2, 1), (2, 1), "SAME")

    def _layer(self, x: Array, train: bool, kernel: tuple[int, int], **how: tuple) -> Array:
        dilation, strides = how.get("dilation", (1, 1)), how.get("strides", (1, 1))
        x = nn.Conv(
            self.features,
            kernel,
            strides,
            kernel_dilation=dilation,
            use_bias=False,
            dtype=self.dtype,
        )(x)
        normed = nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis_name)
        return nn.relu(normed(x.astype(jnp.float32))).astype(self.dtype)


class _Pair(nn.Module):
    """1024-128-2 on a sound and a picture side by side; the first layer's halves are apart."""

    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, sound: Array, picture: Array) -> Array:
        def half(x: Array, name: str, bias: bool) -> Array:
            return nn.Dense(self.hidden, use_bias=bias, dtype=self.dtype, name=name)(x)

        inside = nn.relu(half(sound, "sound", True) + half(picture, "picture", False))
        two = nn.Dense(2, dtype=self.dtype, name="logits")(inside).astype(jnp.float32)
        # The softmax of two is the sigmoid of their difference.
        return two[..., 1] - two[..., 0]


class _Projection(nn.Module):
    widths: Sequence[int]
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inside, out = self.widths
        x = nn.relu(nn.Dense(inside, dtype=self.dtype)(x))
        return unit(nn.Dense(out, dtype=self.dtype)(x).astype(jnp.float32))
