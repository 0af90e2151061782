"""The network of DSOL, CSOL and the correspondence baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avloc.models.heads import CorrespondenceHead
from avloc.models.resnet import ResNet


class Instances(NamedTuple):
    """What the Audio-Instance-Identifier makes of a batch of sounds (`InstanceNet`).

    Attributes:
      expanded: `F_k = g + D^k`, a feature for each source (IEr 3.2).
      a: unit embedding of each `F_k` in the space where sight and sound are compared.
      scale, bias: of the logit that makes a cosine to a prototype a probability.
    """

    expanded: Float[Array, "B K C"]
    a: Float[Array, "B K D"]
    scale: Float[Array, ""]
    bias: Float[Array, ""]


class Embeddings(NamedTuple):
    """Named intermediates of `AudioVisualNet`.

    Attributes:
      f: visual map. g: audio embedding after global max-pooling.
      v: unit embedding of each cell. a: unit embedding of each sound.
      scale, bias: of the correspondence logit, `scale * cosine + bias`.
      visual_logits: class head on GAP(f). audio_logits: class head on g.
      instances: what an identifier adds, where the network has one (`InstanceNet`).
    """

    f: Float[Array, "B h w C"]
    g: Float[Array, "B C"]
    v: Float[Array, "B h w D"]
    a: Float[Array, "B D"]
    scale: Float[Array, ""]
    bias: Float[Array, ""]
    visual_logits: Float[Array, "B K"]
    audio_logits: Float[Array, "B K"]
    instances: Instances | None = None

    def localization(self) -> Float[Array, "B h w"]:
        """Map `l` of each image with its own sound, 0 to 1 (CSOL eq. 1)."""
        cosine = jnp.einsum("bhwd,bd->bhw", self.v, self.a)
        return jax.nn.sigmoid(self.scale * cosine + self.bias)


class AudioVisualNet(nn.Module):
    """Two backbones, the correspondence head and the class heads (CSOL figure 3).

    Attributes:
      clusters: K, outputs of each class head.
      width, blocks, stem_pool: of both backbones, see `ResNet`; the audio backbone keeps its
        pooling, as spectrograms are large enough.
      embedding: width of the common space.
      correspondence_scale, correspondence_bias: see `CorrespondenceHead`.
      axis_name: see `BasicBlock`.
    """

    clusters: int
    width: int = 64
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    stem_pool: bool = True
    embedding: int = 128
    correspondence_scale: float = 5.0
    correspondence_bias: bool = False
    axis_name: str | None = None

    def setup(self) -> None:
        common = {"width": self.width, "blocks": self.blocks, "axis_name": self.axis_name}
        self.visual = ResNet(stem_pool=self.stem_pool, **common)
        self.audio = ResNet(**common)
        self.correspondence = CorrespondenceHead(
            self.embedding, self.correspondence_scale, self.correspondence_bias
        )
        self.visual_classifier = nn.Dense(self.clusters)
        self.audio_classifier = nn.Dense(self.clusters)

    def __call__(
        self,
        image: Float[Array, "B H W 3"],
        spectrogram: Float[Array, "B T F 1"],
        train: bool = False,
    ) -> Embeddings:
        """All intermediates; what a caller leaves unused is removed by the compiler."""
        return self.embed(self.visual(image, train), self.audio.stages(spectrogram, train))

    def embed(
        self, f: Float[Array, "B h w C"], stages: Sequence[Float[Array, "B t m c"]]
    ) -> Embeddings:
        """All that stands on the visual map and the stages of the audio backbone."""
        g = stages[-1].max(axis=(1, 2))
        v, a, scale, bias = self.correspondence(f, g)
        return Embeddings(
            f=f,
            g=g,
            v=v,
            a=a,
            scale=scale,
            bias=bias,
            visual_logits=self.visual_classifier(f.mean(axis=(1, 2))),
            audio_logits=self.audio_classifier(g),
        )

    def hear(
        self, spectrogram: Float[Array, "B T F 1"], train: bool = False
    ) -> Float[Array, "B C"]:
        """Audio embedding g: the audio backbone, then global max-pooling."""
        return self.audio(spectrogram, train).max(axis=(1, 2))
