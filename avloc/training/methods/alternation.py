"""Stage one of DSOL and CSOL, and the ground of IEr: localization and classification in turn.

Phases `localization` and `classification` alternate (CSOL 3.2, IEr 3.1). Before each classification
phase the object representations of the whole split are clustered; the cluster indices are the
labels. In the end stand an object dictionary and a frozen audio network. DSOL and CSOL differ in
the object representation only (`config.representation`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from ml_collections import ConfigDict

from avloc import losses
from avloc.machine.devices import gather
from avloc.models import AudioVisualNet, Embeddings, pairwise_cosine
from avloc.models.heads import unit
from avloc.training.methods.clusters import TEACHER, Clustered, part_of
from avloc.training.methods.correspondence import match_loss, mix_sounds
from avloc.training.methods.lengths import passes, stale, validation
from avloc.training.methods.mixtures import mixed_sounds
from avloc.training.methods.networks import (
    inputs,
    make_network,
    picture_input,
    sound_input,
    train_forward,
)
from avloc.types import (
    Aux,
    Batch,
    DatasetInfo,
    Embedded,
    LossOutput,
    Phase,
    Scan,
    TrainState,
    Variables,
)


class Alternation(Clustered):
    """What the methods with an object dictionary share; every choice is a field of `config`.

    Args:
      config: the experiment's.
      info: sizes of the splits.
      axis_name: mapped axis under `pmap`, else None.
    """

    def __init__(self, config: ConfigDict, info: DatasetInfo, axis_name: str | None = None):
        self.config = config
        self.info = info
        self.axis_name = axis_name
        self.net = self.network()

    def network(self) -> AudioVisualNet:
        """The network that `config.model` describes."""
        return make_network(AudioVisualNet, self.config, self.info, self.axis_name)

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        """See `avloc.types.Method`."""
        # The collection is there too where no backbone has BatchNorm.
        variables = {"batch_stats": {}, **self.net.init(key, *inputs(self.net, batch))}
        channels = self.net.visual.channels
        k, width = self.config.clusters, channels
        if self.config.representation_sound:
            width += self.config.model.embedding
        aux = {
            "labels": jnp.zeros(self.info.num_examples[self.config.data.stage_one], jnp.int32),
            "dictionary": jnp.zeros((k, channels)),
            "centroids": jnp.zeros((k, width)),
            "feature_mean": jnp.zeros(channels),
            "cell_mean": jnp.zeros(channels),
            "teacher": part_of(variables, TEACHER),
            "mixtures": jnp.zeros(()),
        }
        if self.config.representation_sound:
            aux["sound_mean"] = jnp.zeros(self.config.model.embedding)
        return variables, aux

    def alternation(self, checkpoint_name: str) -> Iterator[Phase]:
        """Its phases; the last one builds the dictionary and has that checkpoint name."""
        one = self.config.stage_one
        split = self.config.data.stage_one
        if self.config.model.standardized:
            yield self._settled("standardization", self.standardize)
        if one.warmup_epochs or one.warmup_steps:
            yield Phase(
                "warm-up",
                split,
                passes(self, split, one.warmup_epochs, one.warmup_steps),
                "localization",
                self.warmup_loss,
                check=validation(self, self._retrieval_step),
                stop=partial(stale, patience=one.patience, least=one.warmup_steps),
                zoom_out=one.zoom_out if self.config.stored_views else 0.0,
            )
        for epoch in range(one.epochs):
            mixed = one.mixtures > 0 and epoch >= one.mixtures_after
            words, share = ("mixed ", one.mixtures) if mixed else ("", 0.0)
            aux = {"mixtures": share} if one.mixtures else {}
            yield Phase(
                f"{words}localization",
                split,
                1,
                "localization",
                self.localization_loss,
                aux=aux,
                zoom_out=one.zoom_out,
            )
            if epoch >= one.classification_after and one.classification_passes:
                yield Phase(
                    f"{words}classification",
                    split,
                    one.classification_passes,
                    "classification",
                    self.classification_loss,
                    refresh=self.relabel,
                    stop=self._saturated,
                    aux=aux,
                    zoom_out=one.zoom_out,
                )
        refresh = self.build_dictionary if self._classified() else self.relabel
        hearing = self.config.hearing
        if hearing.steps or hearing.epochs:
            yield self._settled("clusters", refresh)
            yield Phase(
                "hearing",
                split,
                passes(self, split, hearing.epochs, hearing.steps),
                "hearing",
                self.hearing_loss,
                check=validation(self, self._hearing_step),
                stop=partial(stale, patience=one.patience, least=hearing.steps),
                zoom_out=one.zoom_out,
            )
            refresh = self.build_dictionary
        yield self._settled("dictionary", refresh, checkpoint_name)

    def _settled(self, name: str, refresh: Any, checkpoint_name: str | None = None) -> Phase:
        """A phase without a step."""
        return Phase(
            name,
            self.config.data.stage_one,
            0,
            "localization",
            self.localization_loss,
            refresh=refresh,
            checkpoint_name=checkpoint_name,
        )

    def standardize(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """Sets the mean and the deviation of each channel of the backbone's maps."""
        mean, square = scan(self._moments_step, state, self.config.data.stage_one)
        mean, square = mean.mean(axis=0, dtype=np.float64), square.mean(axis=0, dtype=np.float64)
        standard = {
            "mean": jnp.asarray(mean, jnp.float32),
            "deviation": jnp.asarray(np.sqrt(np.maximum(square - mean**2, 1e-8)), jnp.float32),
        }
        stats = {**state.variables["batch_stats"], "standard": standard}
        return state._replace(variables={**state.variables, "batch_stats": stats})

    def _moments_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Float[Array, "B C"], Float[Array, "B C"]]:
        raw = picture_input(self.net, batch)
        if batch.features is None:
            raw = self.net.apply(variables, raw, method="look")
        raw = raw.astype(jnp.float32)
        return raw.mean(axis=(1, 2)), (raw**2).mean(axis=(1, 2))

    def look(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B h w C"]:
        """See `avloc.types.Looks`."""
        return self.net.apply(variables, picture_input(self.net, batch), method="look")

    def warmup_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """Correspondence by `config.warmup`: starts a network that has no pretrained weights."""
        return self._localize(variables, batch, self.config.warmup, 0.0)

    def localization_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """Correspondence by `config.correspondence` (CSOL eq. 2).

        A share `aux["mixtures"]` of sounds is mixed with another of the batch (`mix_sounds`).
        """
        return self._localize(variables, batch, self.config.correspondence, self._mixtures(aux))

    def classification_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`CE(y*, h_a(g)) + CE(y*, h_v(GAP f))` with cluster indices as y* (CSOL eq. 6).

        Mixtures as above; the target of a mixture is the mean of its clips' targets.
        """
        own = batch._replace(negative=None)
        batch, held = mix_sounds(own, self._mixtures(aux), self.axis_name)
        out, stats = self._train_forward(variables, batch)
        visual, audio, index, mask = gather(
            (out.visual_logits, out.audio_logits, batch.index, batch.mask), self.axis_name
        )
        labels = aux["labels"][index]
        targets = jax.nn.one_hot(labels, self.config.clusters)
        heard = held @ targets / held.sum(axis=1, keepdims=True)
        loss_visual = losses.cross_entropy(visual, targets, mask)
        loss_audio = losses.cross_entropy(audio, heard, mask)

        def accuracy(logits: Float[Array, "B K"]) -> Float[Array, ""]:
            return losses.masked_mean((logits.argmax(-1) == labels).astype(jnp.float32), mask)

        log = {
            "loss_visual": loss_visual,
            "loss_audio": loss_audio,
            "visual_accuracy": accuracy(visual),
            "audio_accuracy": accuracy(audio),
            "accuracy": 0.5 * (accuracy(visual) + accuracy(audio)),
        }
        return loss_visual + loss_audio, LossOutput(stats, log)

    def hearing_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`CE(mean of y*, h_a(g))` of mixtures of clips, and their correspondence."""
        spec, labels = self.config.hearing, aux["labels"]
        mixed, held = mixed_sounds(
            batch,
            labels[batch.index],
            spec.share,
            spec.sources,
            spec.sources,
            spec.gain_db,
            True,
            key,
            self.axis_name,
        )
        heard = batch._replace(waveform=mixed, log_mel=None, negative=None)
        out, stats = self._train_forward(variables, heard)
        logits, index, mask = gather((out.audio_logits, batch.index, batch.mask), self.axis_name)
        targets = (held @ jax.nn.one_hot(labels[index], self.config.clusters)) > 0
        targets = targets / jnp.maximum(targets.sum(axis=1, keepdims=True), 1)
        loss = losses.cross_entropy(logits, targets, mask)
        own = jnp.take_along_axis(targets, logits.argmax(axis=1)[:, None], axis=1)[:, 0] > 0
        log = {"hearing": loss, "accuracy": losses.masked_mean(own.astype(jnp.float32), mask)}
        if spec.localization_weight:
            matching, more = self._match(out, heard, held, self.config.correspondence)
            loss, log = loss + spec.localization_weight * matching, {**more, **log}
        return loss, LossOutput(stats, log)

    def embed(self, variables: Variables, aux: Aux, batch: Batch) -> Embedded:
        """See `avloc.types.Embeds`: the space of the correspondence head (DSOL table 3)."""
        out = self._forward(variables, batch)
        return Embedded(out.v, out.a)

    # Parts.

    def _teach(self, aux: Aux, batch: Batch) -> Float[Array, "B K"]:
        """Logits of the frozen stage-one audio network."""
        return self.net.apply(aux["teacher"], sound_input(self.net, batch), method="hear_clusters")

    def _train_forward(
        self, variables: Variables, batch: Batch, **how: Any
    ) -> tuple[Embeddings, Variables]:
        return train_forward(self.net, variables, batch, self.config.accumulate, **how)

    def _localize(
        self,
        variables: Variables,
        batch: Batch,
        spec: ConfigDict,
        mixtures: Float[Array, ""] | float,
    ) -> tuple[Array, LossOutput]:
        batch, held = mix_sounds(batch, mixtures, self.axis_name)
        out, stats = self._train_forward(variables, batch)
        loss, log = self._match(out, batch, held, spec)
        return loss, LossOutput(stats, log)

    def _mixtures(self, aux: Aux) -> Float[Array, ""] | float:
        # Traced, as it changes in training: a number would be compiled into a step for each.
        return aux["mixtures"] if self.config.stage_one.mixtures else 0.0

    def _match(
        self,
        out: Embeddings,
        batch: Batch,
        held: Float[Array, "B B"],
        spec: ConfigDict,
        negative_side: int = 1,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        parts = self.config.accumulate
        return match_loss(out, batch, held, spec, self.axis_name, parts, negative_side)

    def _retrieval_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Bool[Array, " B"], Bool[Array, " B"]]:
        """Which sounds find the image of their own video among those of the batch."""
        # A scan has the whole batch, under `pmap` too.
        out, spec = self._forward(variables, batch), self.config.warmup
        scores = losses.pool(pairwise_cosine(out.v, out.a), spec.pooling, spec.sharpness)
        best = jnp.where(batch.mask[:, None], scores, -jnp.inf).argmax(axis=0)
        return batch.video[best] == batch.video, batch.mask

    def _hearing_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Bool[Array, " B"], Bool[Array, " B"]]:
        """Which sounds are heard as the cluster that their clips are nearest to.

        By the sight alone, as the sound's embedding moves in this phase.
        """
        out = self._forward(variables, batch)
        seen = unit(self._represent(out.f, out.localization()) - aux["feature_mean"])
        keys = unit(aux["dictionary"] - aux["feature_mean"])
        return (seen @ keys.T).argmax(axis=1) == out.audio_logits.argmax(axis=1), batch.mask

    def _saturated(self, history: list[dict[str, float]]) -> bool:
        """Whether the last pass raised the accuracy by less than `config.stage_one.saturation`."""
        if len(history) < 2:
            return False
        gain = history[-1]["accuracy"] - history[-2]["accuracy"]
        return gain < self.config.stage_one.saturation

    def _classified(self) -> bool:
        one = self.config.stage_one
        return bool(one.classification_passes) and one.epochs > one.classification_after
