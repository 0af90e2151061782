"""DSOL and CSOL: localization and pseudo-label classification in turn, then matched distributions.

Stage one (CSOL 3.2): phases `localization` and `classification` alternate. Before each
classification phase the object representations of the whole split are clustered; the cluster
indices are the labels. Stage two (CSOL 3.3): on scenes of several sources, the category
distribution of sight is matched to the one that the frozen stage-one audio network hears.
The two papers differ in the object representation only (`config.representation`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from avloc import losses
from avloc.clustering.dictionary import (
    dictionary,
    object_representations_mask,
    object_representations_weighted,
)
from avloc.clustering.kmeans import assign, kmeans
from avloc.models import AudioVisualNet, Embeddings
from avloc.models.heads import unit
from avloc.training.devices import gather
from avloc.training.methods.correspondence import match_loss, mix_sounds
from avloc.training.optimizers import reset_moments
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
from data_pipelines.audio import log_mel
from data_pipelines.image import normalize

CLASSIFIERS = ("visual_classifier", "audio_classifier")
TEACHER = ("audio", "audio_classifier")


class Csol:
    """The method of both papers; every choice is a field of `config` (see `configs/csol_toy.py`).

    Args:
      config: the experiment's.
      info: sizes of the splits.
      axis_name: mapped axis under `pmap`, else None.
    """

    def __init__(self, config: ConfigDict, info: DatasetInfo, axis_name: str | None = None):
        self.config = config
        self.info = info
        self.axis_name = axis_name
        model = config.model
        self.net = AudioVisualNet(
            clusters=config.clusters,
            width=model.width,
            blocks=tuple(model.blocks),
            stem_pool=model.stem_pool,
            embedding=model.embedding,
            correspondence_scale=model.correspondence_scale,
            correspondence_bias=model.correspondence_bias,
            axis_name=axis_name,
        )

    # The interface.

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        variables = self.net.init(key, normalize(batch.image), log_mel(batch.waveform))
        channels = 8 * self.config.model.width
        k = self.config.clusters
        aux = {
            "labels": jnp.zeros(self.info.num_examples[self.config.data.stage_one], jnp.int32),
            "dictionary": jnp.zeros((k, channels)),
            "centroids": jnp.zeros((k, channels)),
            "feature_mean": jnp.zeros(channels),
            "teacher": _part(variables, TEACHER),
        }
        return variables, aux

    def phases(self) -> Iterator[Phase]:
        one, two = self.config.stage_one, self.config.stage_two
        split = self.config.data.stage_one
        if one.warmup_epochs:
            yield Phase("warm-up", split, one.warmup_epochs, "localization", self.warmup_loss)
        for epoch in range(one.epochs):
            mixed = one.mixtures > 0 and epoch >= one.mixtures_after
            words, share = ("mixed ", one.mixtures) if mixed else ("", 0.0)
            yield Phase(
                f"{words}localization",
                split,
                1,
                "localization",
                partial(self.localization_loss, mixtures=share),
                zoom_out=one.zoom_out,
            )
            if epoch >= one.classification_after and one.classification_passes:
                yield Phase(
                    f"{words}classification",
                    split,
                    one.classification_passes,
                    "classification",
                    partial(self.classification_loss, mixtures=share),
                    refresh=self.relabel,
                    stop=self._saturated,
                    zoom_out=one.zoom_out,
                )
        refresh = self.build_dictionary if self._classified() else self.relabel
        yield Phase(
            "dictionary",
            split,
            0,
            "localization",
            self.localization_loss,
            refresh=refresh,
            checkpoint_name="stage_one",
        )
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

        The papers give no score for a whole scene. Here a source must be both heard, by `p_a`, and
        seen to sound, by the highest cell of its map: the score is their geometric mean.
        """
        out = self._forward(variables, batch)
        localization = out.localization()
        s = self._source_maps(out.f, localization, aux)
        heard = jax.nn.softmax(self._teach(aux, batch))
        maps = jax.nn.softmax(s, axis=-1)
        return Prediction(
            maps=maps,
            scores=jnp.sqrt(heard * maps.max(axis=(1, 2))),
            localization=localization,
            cluster=assign(unit(self._represent(out.f, localization)), aux["centroids"]),
        )

    # Stage one.

    def warmup_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """Correspondence by `config.warmup`: starts a network that has no pretrained weights."""
        return self._localize(variables, batch, self.config.warmup)

    def localization_loss(
        self,
        variables: Variables,
        aux: Aux,
        batch: Batch,
        key: PRNGKeyArray,
        mixtures: float = 0.0,
    ) -> tuple[Array, LossOutput]:
        """Correspondence by `config.correspondence` (CSOL eq. 2).

        `mixtures`: share of sounds that are mixed with another of the batch (`mix_sounds`).
        """
        return self._localize(variables, batch, self.config.correspondence, mixtures)

    def classification_loss(
        self,
        variables: Variables,
        aux: Aux,
        batch: Batch,
        key: PRNGKeyArray,
        mixtures: float = 0.0,
    ) -> tuple[Array, LossOutput]:
        """`CE(y*, h_a(g)) + CE(y*, h_v(GAP f))` with cluster indices as y* (CSOL eq. 6).

        `mixtures` as above; the target of a mixture is the mean of its clips' targets.
        """
        batch, held = mix_sounds(batch._replace(negative=None), mixtures, self.axis_name)
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

    def relabel(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """Clusters the object representations; resets both class heads, as cluster order is new."""
        representations = self._scan_representations(state, scan)
        k_key, head_key = jax.random.split(key)
        result = kmeans(
            unit(representations),
            self.config.clusters,
            k_key,
            restarts=self.config.kmeans.restarts,
            iterations=self.config.kmeans.iterations,
        )
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
        return self._with_dictionary(state, representations, result.labels)

    def build_dictionary(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """End of stage one: keys of the last labels by today's features; freezes the teacher."""
        return self._with_dictionary(
            state, self._scan_representations(state, scan), state.aux["labels"]
        )

    # Stage two.

    def matching_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`L_2 = L_c + lambda L_loc` (CSOL eq. 12)."""
        two = self.config.stage_two
        out, stats = self._train_forward(variables, batch)
        own = out._replace(f=out.f[: len(batch.image)], v=out.v[: len(batch.image)])
        localization = own.localization()
        s = self._source_maps(own.f, localization, aux)
        seen, heard, mask = gather(
            (s.mean(axis=(1, 2)), self._teach(aux, batch), batch.mask), self.axis_name
        )
        heard = jax.lax.stop_gradient(heard) / two.temperature
        if two.kl == "visual_to_audio":  # the paper's
            matching = losses.kl_divergence(seen, heard, mask)
        elif two.kl == "audio_to_visual":  # the published code's
            matching = losses.kl_divergence(heard, seen, mask)
        else:
            raise ValueError(
                f"config.stage_two.kl is 'visual_to_audio' or 'audio_to_visual', not {two.kl!r}"
            )
        correspondence, log = match_loss(
            out, batch, jnp.eye(len(mask)), self.config.correspondence, self.axis_name
        )
        loss = matching + two.localization_weight * correspondence
        return loss, LossOutput(stats, {"matching": matching, **log})

    # Parts.

    def _forward(self, variables: Variables, batch: Batch) -> Embeddings:
        return self.net.apply(variables, normalize(batch.image), log_mel(batch.waveform))

    def _train_forward(self, variables: Variables, batch: Batch) -> tuple[Embeddings, Variables]:
        """Embeddings of the batch; drawn negatives stand behind its own images in `f` and `v`."""
        images = batch.image
        if batch.negative is not None:
            images = jnp.concatenate([images, batch.negative])
        out, new = self.net.apply(
            variables, normalize(images), log_mel(batch.waveform), True, mutable=["batch_stats"]
        )
        return out, new["batch_stats"]

    def _localize(
        self, variables: Variables, batch: Batch, spec: ConfigDict, mixtures: float = 0.0
    ) -> tuple[Array, LossOutput]:
        batch, held = mix_sounds(batch, mixtures, self.axis_name)
        out, stats = self._train_forward(variables, batch)
        loss, log = match_loss(out, batch, held, spec, self.axis_name)
        return loss, LossOutput(stats, log)

    def _source_maps(
        self, f: Float[Array, "B h w C"], localization: Float[Array, "B h w"], aux: Aux
    ) -> Float[Array, "B h w K"]:
        """`s_k = m_k * l`, `m_k = d_k . f` (CSOL eq. 7 and 8)."""
        two = self.config.stage_two
        keys = aux["dictionary"]
        if two.similarity == "inner":  # the papers'
            m = jnp.einsum("bhwc,kc->bhwk", f, keys)
        elif two.similarity == "centred_cosine":
            # Features after ReLU share a large mean, which makes plain products alike.
            m = jnp.einsum(
                "bhwc,kc->bhwk", unit(f - aux["feature_mean"]), unit(keys - aux["feature_mean"])
            )
        else:
            raise ValueError(
                "config.stage_two.similarity is 'inner' or 'centred_cosine', "
                f"not {two.similarity!r}"
            )
        if two.product:
            m = m * localization[..., None]
        return two.scale * m

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

    def _scan_representations(self, state: TrainState, scan: Scan) -> Float[Array, "N C"]:
        return jnp.asarray(scan(self._scan_step, state, self.config.data.stage_one))

    def _scan_step(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B C"]:
        out = self._forward(variables, batch)
        return self._represent(out.f, out.localization())

    def _with_dictionary(
        self, state: TrainState, representations: Float[Array, "N C"], labels: Array
    ) -> TrainState:
        k = self.config.clusters
        aux = {
            **state.aux,
            "labels": labels.astype(jnp.int32),
            "dictionary": dictionary(representations, labels, k),
            "centroids": dictionary(unit(representations), labels, k),
            "feature_mean": representations.mean(axis=0),
            "teacher": _part(state.variables, TEACHER),
        }
        return state._replace(aux=aux)

    def _teach(self, aux: Aux, batch: Batch) -> Float[Array, "B K"]:
        """Logits of the frozen stage-one audio network."""
        teacher = aux["teacher"]

        def hear(net: AudioVisualNet, spectrogram: Array) -> Array:
            return net.audio_classifier(net.hear(spectrogram))

        return self.net.apply(teacher, log_mel(batch.waveform), method=hear)

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


def _part(variables: Variables, modules: tuple[str, ...]) -> dict[str, Any]:
    """The named modules' share of each collection."""
    return {
        collection: {name: tree[name] for name in modules if name in tree}
        for collection, tree in variables.items()
    }
