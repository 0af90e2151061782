"""Object representations of a whole split, their clusters, and the dictionary of these.

What stage one clusters to get its labels, and keeps for all that comes after it.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from avloc.clustering.dictionary import (
    dictionary,
    object_representations_mask,
    object_representations_weighted,
)
from avloc.clustering.kmeans import assign, kmeans
from avloc.machine.devices import over_devices, to_host
from avloc.models import AudioVisualNet, Embeddings
from avloc.models.heads import unit
from avloc.training.methods.networks import inputs
from avloc.training.optimizers import reset_moments
from avloc.types import Aux, Batch, Scan, TrainState, Variables

CLASSIFIERS = ("visual_classifier", "audio_classifier")
TEACHER = ("audio", "audio_classifier")


class Clustered:
    """A method whose clips are clustered by their object representations.

    Attributes:
      config: the experiment's.
      net: the network.
    """

    config: ConfigDict
    net: AudioVisualNet

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

    # Parts.

    def _forward(self, variables: Variables, batch: Batch) -> Embeddings:
        return self.net.apply(variables, *inputs(self.net, batch._replace(negative=None)))

    def _represent(
        self, f: Float[Array, "B h w C"], localization: Float[Array, "B h w"]
    ) -> Float[Array, "B C"]:
        if self.config.representation == "weighted":
            return object_representations_weighted(f, localization)
        if self.config.representation == "mask":
            mask = self.config.mask
            return object_representations_mask(f, localization, mask.threshold, mask.dilated)
        raise ValueError(
            "config.representation is 'weighted' (CSOL) or 'mask' (DSOL), "
            f"not {self.config.representation!r}"
        )

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
            "teacher": part_of(state.variables, TEACHER),
        }
        if self.config.representation_sound:
            aux["sound_mean"] = sounds.mean(axis=0)
        aux["centroids"] = dictionary(self.clustered(representations, sounds, aux), labels, k)
        return state._replace(aux=aux)

    def _fresh_heads(self, key: PRNGKeyArray, params: Any) -> dict[str, Any]:
        heads, deviation = {}, self.config.stage_one.head_deviation
        own = {"kernel_init": nn.initializers.normal(deviation)} if deviation else {}
        for name, head_key in zip(CLASSIFIERS, jax.random.split(key), strict=True):
            kernel = params[name]["kernel"]
            head = nn.Dense(kernel.shape[1], **own)
            heads[name] = head.init(head_key, jnp.zeros((1, kernel.shape[0])))["params"]
        return heads


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


def part_of(variables: Variables, modules: tuple[str, ...]) -> dict[str, Any]:
    """The named modules' share of each collection."""
    return {
        collection: {name: tree[name] for name in modules if name in tree}
        for collection, tree in variables.items()
    }
