"""DSOL and CSOL: an object dictionary from single sources, then matched category distributions.

Stage one is `alternation`. Stage two (CSOL 3.3): on scenes of several sources, the category
distribution of sight is matched to the one that the frozen stage-one audio network hears.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avloc import losses
from avloc.machine.devices import gather
from avloc.models import AudioVisualNet
from avloc.models.heads import prototype_similarity
from avloc.training.methods.alternation import Alternation
from avloc.training.methods.networks import make_network, own_images
from avloc.training.microbatches import in_microbatches
from avloc.types import Aux, Batch, LossOutput, Phase, Prediction, Variables


class Csol(Alternation):
    """The method of both papers; every choice is a field of `config` (see `configs/csol.py`)."""

    title = "CSOL"

    def network(self) -> AudioVisualNet:
        """The network that `config.model` describes, with what stage two learns besides."""
        return make_network(
            AudioVisualNet,
            self.config,
            self.info,
            self.axis_name,
            object_affine=self.config.stage_two.affine,
        )

    def phases(self) -> Iterator[Phase]:
        """See `avloc.types.Method`."""
        yield from self.alternation("stage_one")
        two = self.config.stage_two
        if two.epochs:
            yield Phase(
                "matching",
                self.config.data.stage_two,
                two.epochs,
                "matching",
                self.matching_loss,
                checkpoint_name="stage_two",
            )

    def predict(self, variables: Variables, aux: Aux, batch: Batch) -> Prediction:
        """Maps `S = softmax_k(s_k)` at each cell (CSOL eq. 13).

        Where `config.stage_two.maps` is `heard`, they are `max(s_k, 0) sqrt(p_a,k)`: a kind is
        bright where it is seen to sound, by cosines, and as far as it is heard, so that nothing
        needs to be learnt from scenes. The root keeps a kind that sounds off screen, and looks
        like nothing in the picture, under those that look right.

        The papers give no score for a whole scene. Here a source must be both heard, by `p_a`, and
        seen to sound, by the highest cell of its map: the score is their geometric mean.
        """
        out = self._forward(variables, batch)
        localization = out.localization()
        s = self._source_maps(out.f, localization, variables, aux)
        heard = jax.nn.softmax(self._teach(aux, batch))
        if self.config.stage_two.maps == "heard":
            seen = jnp.clip(s, 0.0, 1.0)
            maps = seen * jnp.sqrt(heard)[:, None, None]
            localization_map = maps.max(axis=-1)
        elif self.config.stage_two.maps == "softmax":
            seen = maps = jax.nn.softmax(s, axis=-1)
            localization_map = localization
        else:
            raise ValueError(
                f"config.stage_two.maps is 'softmax' or 'heard', not {self.config.stage_two.maps!r}"
            )
        return Prediction(
            maps=maps,
            scores=jnp.sqrt(heard * seen.max(axis=(1, 2))),
            heard=heard,
            localization=localization_map,
            cluster=self.cluster_of(out, localization, aux),
        )

    # Stage two.

    def matching_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`L_2 = L_c + lambda L_loc` (CSOL eq. 12)."""
        two = self.config.stage_two
        out, stats = self._train_forward(variables, batch)
        own = own_images(out, batch)
        localization = own.localization()
        s = self._source_maps(own.f, localization, variables, aux)
        heard, _ = in_microbatches(
            lambda part: (self._teach(aux, part), ()), batch, self.config.accumulate
        )
        seen, heard, mask = gather((s.mean(axis=(1, 2)), heard, batch.mask), self.axis_name)
        heard = jax.lax.stop_gradient(heard) / two.temperature
        if two.kl == "visual_to_audio":  # the paper's
            matching = losses.kl_divergence(seen, heard, mask)
        elif two.kl == "audio_to_visual":  # the published code's
            matching = losses.kl_divergence(heard, seen, mask)
        else:
            raise ValueError(
                f"config.stage_two.kl is 'visual_to_audio' or 'audio_to_visual', not {two.kl!r}"
            )
        correspondence, log = self._match(
            out, batch, jnp.eye(len(mask)), self.config.correspondence, two.negative_side
        )
        loss = two.matching_weight * matching + two.localization_weight * correspondence
        return loss, LossOutput(stats, {"matching": matching, **log})

    def _source_maps(
        self,
        f: Float[Array, "B h w C"],
        localization: Float[Array, "B h w"],
        variables: Variables,
        aux: Aux,
    ) -> Float[Array, "B h w K"]:
        """`s_k = m_k * l`, `m_k = d_k . f` (CSOL eq. 7 and 8)."""
        two = self.config.stage_two
        m = prototype_similarity(f, aux["dictionary"], aux["feature_mean"], two.similarity)
        if two.affine:
            m = self.net.apply(variables, m, method="object_maps")
        if two.product:
            m = m * localization[..., None]
        return two.scale * m
