"""The network of DSOL, CSOL and the correspondence baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.models.heads import EXACT, CorrespondenceHead


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
    """Named intermediates of `AudioVisualNet`; all are float32, whatever computes them.

    Attributes:
      f: visual map. g: audio embedding, the summary of the last stage.
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
        cosine = jnp.einsum("bhwd,bd->bhw", self.v, self.a, precision=EXACT)
        return jax.nn.sigmoid(self.scale * cosine + self.bias)


class Standard(nn.Module):
    """Each channel minus its mean, divided by its deviation; both are set once, from outside."""

    @nn.compact
    def __call__(self, x: Float[Array, "*cells C"]) -> Float[Array, "*cells C"]:
        mean = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:])
        deviation = self.variable("batch_stats", "deviation", jnp.ones, x.shape[-1:])
        return (x - mean.value) / deviation.value


class Affine(nn.Module):
    """A learnt scale and shift, 1 and 0 at first, the same everywhere."""

    @nn.compact
    def __call__(self, x: Float[Array, "*any"]) -> Float[Array, "*any"]:
        scale = self.param("scale", nn.initializers.ones, ())
        return scale * x + self.param("shift", nn.initializers.zeros, ())


class AudioVisualNet(nn.Module):
    """Two backbones, the correspondence head and the class heads (CSOL figure 3).

    Attributes:
      clusters: K, outputs of each class head.
      visual, audio: the backbones, see `avloc.models.backbones`.
      frozen: which of `visual` and `audio` stay as they are: no gradient, no new statistics.
      standardized: whether `f` is the backbone's map with each channel's `mean` taken off, divided
        by its `deviation`; both are `batch_stats` of the module `standard`, which no step changes.
      embedding: width of the common space.
      correspondence_scale, correspondence_bias, visual_layers: see `CorrespondenceHead`.
      object_affine: whether there are a scale and a shift of object maps for stage two to learn.
      dtype: of the heads' dense layers. Parameters, statistics and `Embeddings` are float32.
    """

    clusters: int
    visual: nn.Module
    audio: nn.Module
    frozen: tuple[str, ...] = ()
    standardized: bool = False
    embedding: int = 128
    correspondence_scale: float = 5.0
    correspondence_bias: bool = False
    visual_layers: int = 2
    object_affine: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        if self.standardized:
            self.standard = Standard()
        self.correspondence = CorrespondenceHead(
            self.embedding,
            self.correspondence_scale,
            self.correspondence_bias,
            self.visual_layers,
            self.dtype,
        )
        self.visual_classifier = nn.Dense(self.clusters, dtype=self.dtype)
        self.audio_classifier = nn.Dense(self.clusters, dtype=self.dtype)
        if self.object_affine:
            self.objects = Affine()

    def __call__(
        self,
        image: Float[Array, "B H W 3"],
        spectrogram: Float[Array, "B T F 1"],
        train: bool = False,
    ) -> Embeddings:
        """All intermediates; what a caller leaves unused is removed by the compiler."""
        return self.embed(self.see(image, train), self.listen(spectrogram, train))

    def see(self, image: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B h w C"]:
        """The visual map; `image` may be what `look` made of it before."""
        raw = self.look(image, train) if image.shape[-1] == 3 else image
        return self.standard(raw.astype(jnp.float32)) if self.standardized else raw

    def look(self, image: Float[Array, "B H W 3"], train: bool = False) -> Float[Array, "B h w C"]:
        """The visual backbone's own map."""
        if "visual" in self.frozen:
            return jax.lax.stop_gradient(self.visual(image, False))
        return self.visual(image, train)

    def listen(
        self, spectrogram: Float[Array, "B T F 1"], train: bool
    ) -> Sequence[Float[Array, "B t m c"]]:
        """The stages of the audio backbone."""
        if "audio" in self.frozen:
            return jax.lax.stop_gradient(self.audio.stages(spectrogram, False))
        return self.audio.stages(spectrogram, train)

    def embed(
        self, f: Float[Array, "B h w C"], stages: Sequence[Float[Array, "B t m c"]]
    ) -> Embeddings:
        """All that stands on the visual map and the stages of the audio backbone."""
        f, g = f.astype(jnp.float32), self.audio.summary(stages[-1])
        v, a, scale, bias = self.correspondence(f, g)
        if self.object_affine and self.is_initializing():
            self.objects(jnp.zeros(()))
        return Embeddings(
            f=f,
            g=g,
            v=v,
            a=a,
            scale=scale,
            bias=bias,
            visual_logits=self.visual_classifier(f.mean(axis=(1, 2))).astype(jnp.float32),
            audio_logits=self.audio_classifier(g).astype(jnp.float32),
        )

    def object_maps(self, m: Float[Array, "*maps"]) -> Float[Array, "*maps"]:
        """Similarities to objects, by the learnt scale and shift of `object_affine`."""
        return self.objects(m)

    def hear(
        self, spectrogram: Float[Array, "B T F 1"], train: bool = False
    ) -> Float[Array, "B C"]:
        """Audio embedding g."""
        return self.audio.summary(self.listen(spectrogram, train)[-1])

    def hear_clusters(self, spectrogram: Float[Array, "B T F 1"]) -> Float[Array, "B K"]:
        """Class logits of sounds; needs the variables of the audio network alone."""
        return self.audio_classifier(self.hear(spectrogram)).astype(jnp.float32)
