"""Heads on the two backbones."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# Similarities are few operations that decide much: no fast, coarse products on GPU or TPU.
EXACT = jax.lax.Precision.HIGHEST


def unit(x: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """x divided by its Euclidean length along the last axis; zero stays zero, without gradient."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    some = square > 1e-12
    return x * jnp.where(some, jax.lax.rsqrt(jnp.where(some, square, 1.0)), 0.0)


def prototype_similarity(
    x: Float[Array, "... C"],
    prototypes: Float[Array, "K C"],
    mean: Float[Array, " C"],
    kind: str,
) -> Float[Array, "... K"]:
    """How near each feature is to each prototype (CSOL eq. 7, IEr 3.2 and 3.3).

    Args:
      x: features.
      prototypes: object dictionary or prototypes.
      mean: of the features over the training split.
      kind: `inner`, the product that DSOL and CSOL take; `cosine`, that of IEr; `centred_cosine`,
        cosine about the mean: features after ReLU share a large mean, which makes plain products
        alike.
    """
    return jnp.einsum("...c,kc->...k", *_comparable(x, prototypes, mean, kind), precision=EXACT)


def instance_similarity(
    expanded: Float[Array, "B K C"],
    prototypes: Float[Array, "K C"],
    mean: Float[Array, " C"],
    kind: str,
) -> Float[Array, "B K"]:
    """`sim(P_k, F_k)`: each source's own feature with its prototype (IEr eq. 2).

    Arguments are as in `prototype_similarity`.
    """
    compared = _comparable(expanded, prototypes, mean, kind)
    return jnp.einsum("bkc,kc->bk", *compared, precision=EXACT)


def _comparable(
    x: Float[Array, "... C"], prototypes: Float[Array, "K C"], mean: Float[Array, " C"], kind: str
) -> tuple[Float[Array, "... C"], Float[Array, "K C"]]:
    if kind == "inner":
        return x, prototypes
    if kind == "cosine":
        return unit(x), unit(prototypes)
    if kind == "centred_cosine":
        return unit(x - mean), unit(prototypes - mean)
    raise ValueError(
        f"the config's similarity is 'inner', 'cosine' or 'centred_cosine', not {kind!r}"
    )


def pairwise_cosine(
    visual: Float[Array, "A h w C"], audio: Float[Array, "B C"]
) -> Float[Array, "A B h w"]:
    """Cosine of every cell of every image with every sound; both sides of unit length."""
    return jnp.einsum("ahwc,bc->abhw", visual, audio, precision=EXACT)


class CorrespondenceHead(nn.Module):
    """Projects both modalities to one space and maps their cosine to a probability.

    DSOL table 3: Linear-ReLU-Linear for audio, 1x1 convolutions for pictures, both L2-normalised.
    The cosine map then goes through a 1x1 convolution of one channel, that is a scale and a bias,
    and a sigmoid.

    Attributes:
      features: width of the common space, 128 in the papers.
      scale: weight of the last 1x1 convolution at first, 5 in the published code.
      bias: whether it has one. The published code has none.
      visual_layers: dense layers for pictures, 1 or 2. One keeps the maps of good features whole;
        two learn to answer with an object's best cell.
      dtype: of the projections; parameters and results are float32.
    """

    features: int = 128
    scale: float = 5.0
    bias: bool = False
    visual_layers: int = 2
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        def projection() -> nn.Dense:
            return nn.Dense(self.features, dtype=self.dtype)

        if self.visual_layers not in (1, 2):
            raise ValueError(f"config.model.visual_layers is 1 or 2, not {self.visual_layers}")
        if self.visual_layers == 2:
            self.visual1 = projection()
        self.visual2, self.audio1, self.audio2 = projection(), projection(), projection()
        self.logit = (
            self.param("scale", nn.initializers.constant(self.scale), ()),
            self.param("bias", nn.initializers.zeros, ()) if self.bias else jnp.zeros(()),
        )

    def __call__(
        self, f: Float[Array, "B h w C"], g: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B h w D"], Float[Array, "B D"], Float[Array, ""], Float[Array, ""]]:
        """Unit embeddings of cells and of sounds, and the scale and bias of the logit."""
        v = self.visual2(nn.relu(self.visual1(f)) if self.visual_layers == 2 else f)
        v = unit(v.astype(jnp.float32))
        return v, self.project_audio(g), *self.logit

    def project_audio(self, g: Float[Array, "... C"]) -> Float[Array, "... D"]:
        """Unit embeddings of sounds."""
        return unit(self.audio2(nn.relu(self.audio1(g))).astype(jnp.float32))
