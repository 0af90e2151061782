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

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from avloc import losses
from avloc.clustering.dictionary import (
    dictionary,
    object_representations_mask,
    object_representations_weighted,
)
from avloc.clustering.kmeans import assign, kmeans
from avloc.machine.devices import gather, over_devices, to_host
from avloc.models import AudioVisualNet, Embeddings, pairwise_cosine
from avloc.models.heads import unit
from avloc.training.methods.correspondence import match_loss, mix_sounds
from avloc.training.methods.lengths import passes, stale, validation
from avloc.training.methods.mixtures import mixed_sounds
from avloc.training.methods.networks import inputs, make_network, picture_input, train_forward
from avloc.training.optimizers import reset_moments
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

CLASSIFIERS = ("visual_classifier", "audio_classifier")
TEACHER = ("audio", "audio_classifier")


class Alternation:
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
            "teacher": _part(variables, TEACHER),
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

    def relabel(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """Clusters the object representations; resets both class heads, as cluster order is new."""
        representations, cells, sounds = self._scan_representations(state, scan)
        k_key, head_key = jax.random.split(key)
        means = {"feature_mean": representations.mean(axis=0), "sound_mean": sounds.mean(axis=0)}
        rows, mask = over_devices(self.clustered(representations, sounds, means))
        result = kmeans(
            rows,
            self.config.clusters,
            k_key,
            restarts=self.config.kmeans.restarts,
            iterations=self.config.kmeans.iterations,
            mask=mask,
        )
        labels = to_host(result.labels)[: len(representations)]
        self._require_full(labels)
        fresh = self._fresh_heads(head_key, state.variables["params"])
        optimizers = dict(state.optimizers)
        optimizers["classification"] = reset_moments(
            optimizers["classification"],
            lambda path: any(getattr(part, "key", None) in CLASSIFIERS for part in path),
        )
        state = state._replace(
            variables={**state.variables, "params": {**state.variables["params"], **fresh}},
            optimizers=optimizers,
        )
        return self._with_dictionary(state, representations, cells, sounds, labels)

    def build_dictionary(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """End of stage one: keys of the last labels by today's features; freezes the teacher."""
        rows = self._scan_representations(state, scan)
        return self._with_dictionary(state, *rows, state.aux["labels"])

    def embed(self, variables: Variables, aux: Aux, batch: Batch) -> Embedded:
        """See `avloc.types.Embeds`: the space of the correspondence head (DSOL table 3)."""
        out = self._forward(variables, batch)
        return Embedded(out.v, out.a)

    # Parts.

    def _forward(self, variables: Variables, batch: Batch) -> Embeddings:
        return self.net.apply(variables, *inputs(self.net, batch))

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
        self, out: Embeddings, batch: Batch, held: Float[Array, "B B"], spec: ConfigDict
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        return match_loss(out, batch, held, spec, self.axis_name, self.config.accumulate)

    def _represent(
        self, f: Float[Array, "B h w C"], localization: Float[Array, "B h w"]
    ) -> Float[Array, "B C"]:
        if self.config.representation == "weighted":
            return object_representations_weighted(f, localization)
        if self.config.representation == "mask":
            return object_representations_mask(f, localization)
        raise ValueError(
            "config.representation is 'weighted' (CSOL) or 'mask' (DSOL), "
            f"not {self.config.representation!r}"
        )

    def clustered(
        self, representations: Float[Array, "N C"], sounds: Float[Array, "N D"], means: Aux
    ) -> Float[Array, "N E"]:
        """What clips are clustered by: the direction of the object representation.

        With `config.representation_sound` both it and the sound's embedding are taken about their
        means, and stand side by side, the sound with that weight: clips of one kind look or sound
        alike, and where one misleads, the other seldom does too.

        Args:
          representations: of the clips' objects.
          sounds: `a`, unit embeddings of their sounds.
          means: `feature_mean` and `sound_mean` over the training split.
        """
        weight = self.config.representation_sound
        if not weight:
            return unit(representations)
        seen = unit(representations - means["feature_mean"])
        return jnp.concatenate([seen, weight * unit(sounds - means["sound_mean"])], axis=1)

    def cluster_of(
        self, out: Embeddings, localization: Float[Array, "B h w"], aux: Aux
    ) -> Int[Array, " B"]:
        """The nearest cluster of clips of single sources."""
        rows = self.clustered(self._represent(out.f, localization), out.a, aux)
        return assign(rows, aux["centroids"])

    def _scan_representations(
        self, state: TrainState, scan: Scan
    ) -> tuple[Float[Array, "N C"], Float[Array, "N C"], Float[Array, "N D"]]:
        """Of each item of the split: object representation, mean of the cells, sound."""
        split = self.config.data.stage_one
        rows, cells, sounds = map(jnp.asarray, scan(self._scan_step, state, split))
        return finite(rows, f"object representations of split {split}"), cells, sounds

    def _scan_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Float[Array, "B C"], Float[Array, "B C"], Float[Array, "B D"]]:
        out = self._forward(variables, batch)
        return self._represent(out.f, out.localization()), out.f.mean(axis=(1, 2)), out.a

    def _retrieval_step(
        self, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Bool[Array, " B"], Bool[Array, " B"]]:
        """Which sounds find the image of their own video among those of the batch."""
        out, spec = self._forward(variables, batch), self.config.warmup
        v, a, video, mask = gather((out.v, out.a, batch.video, batch.mask), self.axis_name)
        scores = losses.pool(pairwise_cosine(v, a), spec.pooling, spec.sharpness)
        best = jnp.where(mask[:, None], scores, -jnp.inf).argmax(axis=0)
        return video[best] == video, mask

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

    def _require_full(self, labels: Int[Array, " N"]) -> None:
        """Raises ValueError where a cluster is empty, as one without a clip can learn nothing."""
        k, used = self.config.clusters, len(np.unique(labels))
        if used < k:
            raise ValueError(
                f"{k - used} of {k} clusters are empty, as split {self.config.data.stage_one} has "
                f"too few clips, or too many that look alike: set config.clusters to {used} or "
                "less, or add data"
            )

    def _with_dictionary(
        self,
        state: TrainState,
        representations: Float[Array, "N C"],
        cells: Float[Array, "N C"],
        sounds: Float[Array, "N D"],
        labels: Array,
    ) -> TrainState:
        k = self.config.clusters
        aux = {
            **state.aux,
            "labels": labels.astype(jnp.int32),
            "dictionary": dictionary(representations, labels, k),
            "feature_mean": representations.mean(axis=0),
            "cell_mean": cells.mean(axis=0),
            "teacher": _part(state.variables, TEACHER),
        }
        if self.config.representation_sound:
            aux["sound_mean"] = sounds.mean(axis=0)
        aux["centroids"] = dictionary(self.clustered(representations, sounds, aux), labels, k)
        return state._replace(aux=aux)

    def _fresh_heads(self, key: PRNGKeyArray, params: Any) -> dict[str, Any]:
        heads = {}
        for name, head_key in zip(CLASSIFIERS, jax.random.split(key), strict=True):
            kernel = params[name]["kernel"]
            head = nn.Dense(kernel.shape[1])
            heads[name] = head.init(head_key, jnp.zeros((1, kernel.shape[0])))["params"]
        return heads

    def _saturated(self, history: list[dict[str, float]]) -> bool:
        """Whether the last pass raised the accuracy by less than `config.stage_one.saturation`."""
        if len(history) < 2:
            return False
        gain = history[-1]["accuracy"] - history[-2]["accuracy"]
        return gain < self.config.stage_one.saturation

    def _classified(self) -> bool:
        one = self.config.stage_one
        return bool(one.classification_passes) and one.epochs > one.classification_after


def finite(rows: Float[Array, "N C"], what: str) -> Float[Array, "N C"]:
    """The rows themselves.

    Args:
      rows: representations or prototypes.
      what: their name in the sentence.

    Raises:
      ValueError: some are not finite.
    """
    bad = int((~np.isfinite(rows)).any(axis=1).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(rows)} {what} hold NaN or infinity: training diverged; the last good "
            "checkpoint is kept; lower config.optimizers.NAME.learning_rates and train again"
        )
    return rows


def _part(variables: Variables, modules: tuple[str, ...]) -> dict[str, Any]:
    """The named modules' share of each collection."""
    return {
        collection: {name: tree[name] for name in modules if name in tree}
        for collection, tree in variables.items()
    }
