"""IEr, the Interference Eraser (Liu et al., AAAI 2022). Its authors published no code.

Stage one: prototypes of sight and sound from single sources (IEr 3.1, `alternation`); then the
Audio-Instance-Identifier learns, on mixtures of growing difficulty, a feature of a sound for each
source (IEr 3.2). Stage two: on scenes in the wild the Cross-modal Referrer makes the distributions
that sight and sound give each other's soft targets, each filtered by the other (IEr 3.3).

Where the paper leaves something open, the docstring of the part says what is done, and a field of
the config chooses (`configs/ier.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from avloc import losses
from avloc.clustering.dictionary import dictionary
from avloc.machine.devices import gather, local_part
from avloc.models import Embeddings, InstanceNet
from avloc.models.heads import EXACT, instance_similarity, prototype_similarity
from avloc.training.methods.alternation import Alternation
from avloc.training.methods.clusters import finite
from avloc.training.methods.curriculum import Curriculum
from avloc.training.methods.lengths import passes
from avloc.training.methods.mixtures import mixed_sounds
from avloc.training.methods.networks import make_network, own_images, sound_input
from avloc.types import (
    Aux,
    Batch,
    DatasetInfo,
    LossOutput,
    Phase,
    Prediction,
    Scan,
    TrainState,
    Variables,
)


class Ier(Alternation):
    """The whole method. `P^v` is the object dictionary of `alternation`, `P^a` is in `aux` too."""

    title = "IEr"

    def __init__(self, config: ConfigDict, info: DatasetInfo, axis_name: str | None = None):
        super().__init__(config, info, axis_name)
        self._curriculum = Curriculum(config.identification, config.clusters)

    def network(self) -> InstanceNet:
        """The network that `config.model` and `config.identifier` describe."""
        spec = self.config.identifier
        return make_network(
            InstanceNet,
            self.config,
            self.info,
            self.axis_name,
            steps=spec.steps,
            middle=spec.middle,
            rank=spec.rank,
            instance_scale=spec.scale,
            instance_bias=spec.bias,
        )

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        """See `avloc.types.Method`."""
        variables, aux = super().init(key, batch)
        channels = self.net.audio.channels
        extra = {
            "audio_prototypes": jnp.zeros((self.config.clusters, channels)),
            "audio_mean": jnp.zeros(channels),
            **self._curriculum.entries(0.0, 0.0, 0),
        }
        return variables, {**aux, **extra}

    def phases(self) -> Iterator[Phase]:
        """See `avloc.types.Method`."""
        split, two = self.config.data.stage_one, self.config.stage_two
        yield from self.alternation("stage_one")
        epochs = self.config.identification.epochs
        each = -(-self.config.identification.steps // max(epochs, 1))
        count = passes(self, split, 1, each)
        steps = count * (self.info.num_examples.get(split, 0) // self.config.batch_size)
        for epoch in range(epochs):
            progress, rise = self._curriculum.stretch(epoch, epochs, steps)
            yield Phase(
                "identification",
                split,
                count,
                "identification",
                self.identification_loss,
                refresh=partial(self.audio_prototypes, progress=progress, rise=rise),
                zoom_out=self.config.identification.zoom_out,
            )
        yield Phase(
            "audio prototypes",
            split,
            0,
            "identification",
            self.identification_loss,
            refresh=self.last_prototypes,
            checkpoint_name="identification",
        )
        if two.epochs:
            yield Phase(
                "referral",
                self.config.data.stage_two,
                two.epochs,
                "referral",
                self.referral_loss,
                checkpoint_name="stage_two",
            )

    def predict(self, variables: Variables, aux: Aux, batch: Batch) -> Prediction:
        """The maps are `L^av` (IEr 3.3), `heard` is `p^a`.

        Where it sounds, whatever the source, is the largest of the maps at each cell; a single clip
        is of the source that `p^va` makes most probable. The paper gives no score for a whole
        scene: here a source must be both heard, by `p^a`, and seen to sound, by the highest cell of
        its map; the score is their geometric mean.
        """
        out = self._forward(variables, batch)
        maps, _ = self.maps(out, aux)
        heard = self.heard(out, aux)
        scores = jnp.sqrt(heard * maps.max(axis=(1, 2)))
        if self.config.stage_two.heard_filter:
            sounds = out.localization()[..., None]
            maps = maps * sounds * jnp.sqrt(heard)[:, None, None]
        if self.config.representation_sound:
            cluster = self.cluster_of(out, out.localization(), aux)
        else:
            cluster = losses.visual_guided_logits(maps).argmax(axis=-1)
        return Prediction(maps, scores, heard, localization=maps.max(axis=-1), cluster=cluster)

    # Stage one: prototypes and the Audio-Instance-Identifier.

    def audio_prototypes(
        self,
        state: TrainState,
        scan: Scan,
        key: PRNGKeyArray,
        progress: float,
        rise: float = 0.0,
    ) -> TrainState:
        """`P^a_k`, the mean audio feature of the clips with pseudo label k (IEr 3.1).

        Computed again at the start of every epoch, because the audio network moves (IEr 3.2).
        `progress`: of the curriculum, 0 to 1, as the epoch begins; `rise`: what a step adds to it.

        Raises:
          ValueError: a pseudo label has no clips, or a feature is not finite.
        """
        k, labels = self.config.clusters, state.aux["labels"]
        split = self.config.data.stage_one
        features = jnp.asarray(scan(self._hear_step, state, split))
        features = finite(features, f"audio features of split {split}")
        empty = k - len(jnp.unique(labels))
        if empty:
            raise ValueError(
                f"{empty} of {k} clusters have no clip and no audio prototype: lower "
                "config.clusters"
            )
        aux = {
            **state.aux,
            "audio_prototypes": dictionary(features, labels, k),
            "audio_mean": features.mean(axis=0),
            **self._curriculum.entries(progress, rise, state.step),
        }
        return state._replace(aux=aux)

    def last_prototypes(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """The prototypes by the trained network, and clusters where these are of its sounds too."""
        state = self.audio_prototypes(state, scan, key, progress=1.0)
        if not self.config.representation_sound:
            return state
        return self.build_dictionary(state, scan, key)

    def _hear_step(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B C"]:
        return self.net.apply(variables, sound_input(self.net, batch), method="hear")

    def identification_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`L_p^s` on single clips, without steps, and `L_p^m` on mixtures (IEr eq. 2 and 8).

        What makes `l(f, F_k)` a map of source k the paper leaves to stage two. With
        `config.identification.localization_weight` it is learnt here as well, on a still visual
        network: see `_instance_correspondence`.
        """
        spec = self.config.identification
        mixed, held = self.mix(aux, batch, key)
        heard = batch._replace(waveform=mixed, log_mel=None, negative=None)
        out, stats = self._train_forward(
            variables, heard, modes=(False, True), method="see_and_identify"
        )
        labels, mask = gather((aux["labels"][batch.index], batch.mask), self.axis_name)
        present = (held @ jax.nn.one_hot(labels, self.config.clusters)) > 0
        single = gather(self._similarity(out.g, aux), self.axis_name)
        several = gather(self._instance_similarity(out, aux), self.axis_name)
        similarity = jnp.where(held.sum(axis=1, keepdims=True) > 1, several, single)
        instances = out.instances
        logit = (instances.scale, instances.bias, self.config.prototypes.probability)
        loss = losses.instance_bce(similarity, present.astype(jnp.float32), mask, *logit)
        said = losses.presence(similarity, *logit) > 0.5
        right = (said & present & mask[:, None]).sum()
        log = {
            "identification": loss,
            "precision": right / jnp.maximum((said & mask[:, None]).sum(), 1),
            "recall": right / jnp.maximum((present & mask[:, None]).sum(), 1),
            "mixtures": (held.sum(axis=1) > 1).mean(),
        }
        if spec.correspondence_weight:
            correspondence, more = self._match(out, heard, held, self.config.correspondence)
            loss, log = loss + spec.correspondence_weight * correspondence, {**more, **log}
        if spec.localization_weight:
            matching = self._instance_correspondence(out, aux, held, present, labels, mask)
            loss, log["matching"] = loss + spec.localization_weight * matching, matching
        return loss, LossOutput(stats, log)

    def mix(
        self, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, "B T"], Float[Array, "B B"]]:
        """Sounds for this step of the curriculum, and the clips that each of them holds."""
        spec = self.config.identification
        share, most = self._curriculum.at(aux)
        return mixed_sounds(
            batch,
            aux["labels"][batch.index],
            share,
            most,
            spec.sources[1],
            spec.gain_db,
            spec.levelled,
            key,
            self.axis_name,
            exactly=spec.count == "exactly",
        )

    def _instance_correspondence(
        self,
        out: Embeddings,
        aux: Aux,
        held: Float[Array, "B B"],
        present: Bool[Array, "B K"],
        labels: Int[Array, " B"],
        mask: Bool[Array, " B"],
    ) -> Float[Array, ""]:
        """Each `l(f, F_k)` has to show source k where the sound holds it, and nothing else.

        Image i, with label y, is a positive pair with `F_y` of the sounds that hold clip i, and a
        negative one with `F_y` of the sounds that hold no clip of label y, and with every other
        `F_k` of its own sound. A pair's cosine is the mean over cells weighted by `L^v_k`, so that
        all of an object learns to answer, not its best cell alone.
        """
        weights = self.visual_maps(out.f, aux)
        weights = weights / jnp.maximum(weights.sum(axis=(1, 2), keepdims=True), 1e-6)
        a = gather(out.instances.a, self.axis_name)
        own = local_part(labels, self.axis_name)
        # Of unit vectors: cosines are linear.
        seen = jnp.einsum("ihwk,ihwd->ikd", weights, out.v, precision=EXACT)
        seen_own = jnp.take_along_axis(seen, own[:, None, None], axis=1)[:, 0]
        across_sounds = jnp.einsum("id,jid->ij", seen_own, a[:, own], precision=EXACT)
        across_sources = jnp.einsum("ikd,ikd->ik", seen, out.instances.a, precision=EXACT)
        scores = gather(jnp.concatenate([across_sounds, across_sources], axis=1), self.axis_name)
        both = mask[:, None] & mask[None]
        others = (labels[:, None] != jnp.arange(self.config.clusters)) & mask[:, None]
        positive = jnp.concatenate([(held.T > 0) & both, jnp.zeros_like(others)], axis=1)
        negative = jnp.concatenate([~present[:, labels].T & both, others], axis=1)
        return losses.match_bce(out.scale * scores + out.bias, positive, negative)

    # Stage two: the Cross-modal Referrer.

    def referral_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`L_u + lambda L_av`: eq. 6 comes in addition to the correspondence (IEr 3.3).

        Where `config.optimizers.referral` gives the audio network the rate 0, it stands still.
        """
        two, axis = self.config.stage_two, self.axis_name
        rates = self.config.optimizers.referral.learning_rates
        modes = (True, rates.get("audio", rates.default) > 0)
        out, stats = self._train_forward(variables, batch, modes=modes, method="see_and_identify")
        maps, visual = self.maps(own_images(out, batch), aux)
        visual, heard, mask = gather((visual, self.heard(out, aux), batch.mask), axis)
        share = None
        if two.offscreen_filter:
            share = losses.visible_share(visual, mask, two.mask_rule, two.mask_threshold)
        seen = gather(losses.visual_guided_logits(maps, two.visual_scale), axis)
        referred = losses.audio_guided_logits(heard, share, two.audio_scale)
        distillation = losses.cross_distillation(seen, referred, mask, two.targets)
        correspondence, log = self._match(
            out, batch, jnp.eye(len(mask)), self.config.correspondence
        )
        loss = distillation + two.localization_weight * correspondence
        return loss, LossOutput(stats, {"distillation": distillation, **log})

    # Parts.

    def maps(
        self, out: Embeddings, aux: Aux
    ) -> tuple[Float[Array, "B h w K"], Float[Array, "B h w K"]]:
        """`L^av_k = l(f, F_k) L^v_k` and `L^v_k = sim(f, P^v_k)`, each 0 to 1 (IEr 3.3).

        A centred cosine is about the mean of all cells, so that background lies near none.

        The factor `l(f, F_k)` is the silent-object filter. Negative similarities count as 0.
        """
        visual = self.visual_maps(out.f, aux)
        if not self.config.stage_two.silent_filter:
            return visual, visual
        cosine = jnp.einsum("bhwd,bkd->bhwk", out.v, out.instances.a, precision=EXACT)
        return jax.nn.sigmoid(out.scale * cosine + out.bias) * visual, visual

    def visual_maps(self, f: Float[Array, "B h w C"], aux: Aux) -> Float[Array, "B h w K"]:
        """`L^v_k = sim(f, P^v_k)`; a similarity below 0 counts as 0."""
        kind = self.config.prototypes.similarity
        similarity = prototype_similarity(f, aux["dictionary"], aux["cell_mean"], kind)
        return jnp.clip(similarity, 0.0, 1.0)

    def heard(self, out: Embeddings, aux: Aux) -> Float[Array, "B K"]:
        """`p^a_k = sim(P^a_k, F_k)` as a probability (IEr 3.3)."""
        instances, kind = out.instances, self.config.prototypes.probability
        similarity = self._instance_similarity(out, aux)
        return losses.presence(similarity, instances.scale, instances.bias, kind)

    def _similarity(self, g: Float[Array, "B C"], aux: Aux) -> Float[Array, "B K"]:
        kind = self.config.prototypes.similarity
        return prototype_similarity(g, aux["audio_prototypes"], aux["audio_mean"], kind)

    def _instance_similarity(self, out: Embeddings, aux: Aux) -> Float[Array, "B K"]:
        return instance_similarity(
            out.instances.expanded,
            aux["audio_prototypes"],
            aux["audio_mean"],
            self.config.prototypes.similarity,
        )
