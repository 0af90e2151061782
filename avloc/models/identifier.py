"""The Audio-Instance-Identifier of IEr: a feature of a sound for each source it may hold."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from avloc.models.audiovisual import AudioVisualNet, Embeddings, Instances
from avloc.models.pooling import pooled


class DistinguishingSteps(nn.Module):
    """`D^n = W_n f_m + b_n` from mid-level audio features `f_m` (IEr eq. 9).

    `f_m` is a combination, by learnt weights that sum to 1, of the backbone's intermediate stages,
    each max-pooled and linearly transformed (IEr 3.2; which stages, pooling and width are not
    given there).

    `per_class` learns the paper's matrix W_n for each source: K C C_m weights, that is 2.9 million
    for K = 11 and 26 million for K = 100 at C = C_m = 512, but 1.3 billion for K = 5000.
    `factored` shares what the sources have in common, `W_n = U diag(e_n) V` of some rank r:
    r (C + C_m + K) weights and K C biases, 3.3 million for K = 5000 and r = 128.

    Attributes:
      sources: K.
      features: C, channels of the audio embedding.
      middle: C_m, channels of f_m.
      form: `per_class`, `factored`, or `none`, which takes no step at all: F_k = g.
      rank: r of `factored`.
      dtype: of the products with weights; parameters, sums and steps are float32.
    """

    sources: int
    features: int
    middle: int
    form: str = "per_class"
    rank: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, stages: Sequence[Float[Array, "B t m c"]]) -> Float[Array, "B K C"]:
        """Steps of each sound towards each source, from the stages before the last."""
        if self.form == "none":
            return jnp.zeros((len(stages[0]), self.sources, self.features))
        if self.form not in ("per_class", "factored"):
            raise ValueError(
                f"config.identifier.steps is 'per_class', 'factored' or 'none', not {self.form!r}"
            )
        weights = nn.softmax(self.param("stages", nn.initializers.zeros, (len(stages),)))
        pooled_stages = [
            nn.Dense(self.middle, dtype=self.dtype, name=f"stage{i + 1}")(pooled(stage))
            for i, stage in enumerate(stages)
        ]
        f_m = sum(
            weight * x.astype(jnp.float32) for weight, x in zip(weights, pooled_stages, strict=True)
        )
        # Steps start at zero, so that training starts from the paper's first term, g alone.
        biases = self.param("biases", nn.initializers.zeros, (self.sources, self.features))
        if self.form == "per_class":
            shape = (self.sources, self.middle, self.features)
            matrices = self.param("matrices", nn.initializers.zeros, shape)
            steps = jnp.einsum("bm,kmc->bkc", *(x.astype(self.dtype) for x in (f_m, matrices)))
            return steps.astype(jnp.float32) + biases
        factors = self.param("factors", nn.initializers.normal(1.0), (self.sources, self.rank))
        low = nn.Dense(self.rank, use_bias=False, dtype=self.dtype, name="V")(f_m)
        out = nn.Dense(
            self.features,
            use_bias=False,
            kernel_init=nn.initializers.zeros,
            dtype=self.dtype,
            name="U",
        )
        return out(low.astype(jnp.float32)[:, None] * factors).astype(jnp.float32) + biases


class InstanceNet(AudioVisualNet):
    """`AudioVisualNet` with the identifier.

    Attributes:
      steps, middle, rank: see `DistinguishingSteps`.
      instance_scale, instance_bias: of the logit of a cosine, at first.
    """

    steps: str = "per_class"
    middle: int = 512
    rank: int = 128
    instance_scale: float = 10.0
    instance_bias: float = -5.0

    def setup(self) -> None:
        super().setup()
        self.identifier = DistinguishingSteps(
            self.clusters, self.audio.channels, self.middle, self.steps, self.rank, self.dtype
        )
        constant = nn.initializers.constant
        self.presence = (
            self.param("presence_scale", constant(self.instance_scale), ()),
            self.param("presence_bias", constant(self.instance_bias), ()),
        )

    def embed(
        self, f: Float[Array, "B h w C"], stages: Sequence[Float[Array, "B t m c"]]
    ) -> Embeddings:
        """As there, with `instances`."""
        return super().embed(f, stages)._replace(instances=self.instances(stages))

    def see_and_identify(
        self,
        image: Float[Array, "B H W 3"],
        spectrogram: Float[Array, "B T F 1"],
        train_visual: bool,
        train_audio: bool,
    ) -> Embeddings:
        """As `__call__`, each backbone in its own mode; one that stands still has no gradient."""
        f, stages = self.see(image, train_visual), self.listen(spectrogram, train_audio)
        return self.embed(
            f if train_visual else jax.lax.stop_gradient(f),
            stages if train_audio else jax.lax.stop_gradient(stages),
        )

    def instances(self, stages: Sequence[Float[Array, "B t m c"]]) -> Instances:
        """A feature for each source, from the stages of the audio backbone."""
        expanded = self.audio.summary(stages[-1])[:, None] + self.identifier(stages[:-1])
        return Instances(expanded, self.correspondence.project_audio(expanded), *self.presence)
