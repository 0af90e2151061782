"""Heads on the two backbones."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def unit(x: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """x divided by its Euclidean length along the last axis; zero stays zero, without gradient."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    some = square > 1e-12
    return x * jnp.where(some, jax.lax.rsqrt(jnp.where(some, square, 1.0)), 0.0)


def pairwise_cosine(
    visual: Float[Array, "A h w C"], audio: Float[Array, "B C"]
) -> Float[Array, "A B h w"]:
    """Cosine of every cell of every image with every sound; both sides of unit length."""
    return jnp.einsum("ahwc,bc->abhw", visual, audio)


class CorrespondenceHead(nn.Module):
    """Projects both modalities to one space and maps their cosine to a probability.

    DSOL table 3: audio Linear-ReLU-Linear, visual 1x1 convolutions alike, both L2-normalised; the
    cosine map then goes through a 1x1 convolution of one channel, that is a scale and a bias, and a
    sigmoid.

    Attributes:
      features: width of the common space, 128 in the papers.
      scale: weight of the last 1x1 convolution at first, 5 in the published code.
      bias: whether it has one. The published code has none.
    """

    features: int = 128
    scale: float = 5.0
    bias: bool = False

    @nn.compact
    def __call__(
        self, f: Float[Array, "B h w C"], g: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B h w D"], Float[Array, "B D"], Float[Array, ""], Float[Array, ""]]:
        """Unit embeddings of cells and of sounds, and the scale and bias of the logit."""
        v = nn.Dense(self.features, name="visual1")(f)
        v = nn.Dense(self.features, name="visual2")(nn.relu(v))
        a = nn.Dense(self.features, name="audio1")(g)
        a = nn.Dense(self.features, name="audio2")(nn.relu(a))
        scale = self.param("scale", nn.initializers.constant(self.scale), ())
        bias = self.param("bias", nn.initializers.zeros, ()) if self.bias else jnp.zeros(())
        return unit(v), unit(a), scale, bias
