"""Sound-of-Pixels: separation by the picture, from mixtures of clips (Zhao et al. 2018).

A clip's guide is the maximum over its picture of `i(x, y)`, of K channels. The paper has no
categories: after training, the guides of the training clips are clustered, and each channel is
given to the cluster that it is strongest in.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from avloc.clustering.dictionary import dictionary
from avloc.clustering.kmeans import assign, kmeans
from avloc.machine.devices import over_devices, to_host
from avloc.models.heads import EXACT
from avloc.models.unet import picture_guide
from avloc.separation.masking import network_input
from avloc.training.methods.clusters import finite
from avloc.training.methods.lengths import passes
from avloc.training.methods.networks import picture_input
from avloc.training.methods.separating import Separating
from avloc.types import (
    Aux,
    Batch,
    LossOutput,
    Phase,
    Prediction,
    Scan,
    TrainState,
    Variables,
)


class SoundOfPixels(Separating):
    """The whole method; every choice is a field of `config` (see `configs/sop.py`)."""

    title = "Sound-of-Pixels"

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        """See `avloc.types.Method`."""
        rows, columns = self.config.sound.rows, self.grid.multiple
        blank = jnp.zeros((len(batch.image), rows, columns, 1))
        image = picture_input(self.net, batch._replace(negative=None))
        variables = {"batch_stats": {}, **self.net.init(key, image, blank)}
        shape = (self.config.clusters, self.config.separation.channels)
        return variables, {
            "labels": jnp.zeros(self.info.num_examples[self.config.data.stage_one], jnp.int32),
            "prototypes": jnp.zeros(shape),
            "channels": jnp.zeros(shape),
        }

    def phases(self) -> Iterator[Phase]:
        """See `avloc.types.Method`."""
        split, spec = self.config.data.stage_one, self.config.separation
        count = passes(self, split, spec.epochs, spec.steps)
        yield Phase("separation", split, count, "separation", self.loss)
        yield Phase(
            "clusters",
            split,
            0,
            "separation",
            self.loss,
            refresh=self.assign_channels,
            checkpoint_name="stage_one",
        )

    def loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """See `Separating.separation_loss`."""
        return self.separation_loss(variables, batch, key)

    def guide(
        self, variables: Variables, batch: Batch, train: bool
    ) -> tuple[Float[Array, "B K"], Variables]:
        """The guide that each whole picture gives."""
        i, new = self.net.apply(
            variables,
            picture_input(self.net, batch),
            train,
            method="see",
            mutable=["batch_stats"] if train else [],
        )
        return picture_guide(i), new.get("batch_stats", {})

    def assign_channels(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """Clusters the guides of the training clips, and gives each channel to one cluster.

        Raises:
          ValueError: a guide is not finite.
        """
        split, spec = self.config.data.stage_one, self.config.kmeans
        guides = finite(jnp.asarray(scan(self.guide_of, state, split)), f"guides of split {split}")
        rows, mask = over_devices(guides)
        result = kmeans(
            rows,
            self.config.clusters,
            key,
            restarts=spec.restarts,
            iterations=spec.iterations,
            mask=mask,
        )
        labels = jnp.asarray(to_host(result.labels)[: len(guides)])
        prototypes = dictionary(guides, labels, self.config.clusters)
        aux = {
            **state.aux,
            "labels": labels.astype(jnp.int32),
            "prototypes": prototypes,
            "channels": jax.nn.one_hot(prototypes.argmax(axis=0), len(prototypes)).T,
        }
        return state._replace(aux=aux)

    def guide_of(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B K"]:
        """The guide of each picture, by evaluation statistics."""
        return self.guide(variables, batch._replace(negative=None), False)[0]

    def predict(self, variables: Variables, aux: Aux, batch: Batch) -> Prediction:
        """Maps by channels: `sum of sigmoid(i_c) e_c` over the channels of a cluster.

        `e_c` is the mean of `w_c s_c`, each cell counting as loud as it is, at least 0; the paper
        gives no maps of categories, and this protocol is ours. Maps are relative to the highest
        cell. The localization is the paper's: at each cell of the picture the loudness of what the
        mask of that cell's guide leaves of the sound, over the largest. What is heard of a cluster
        is the share of the sound that the mask of its mean guide leaves.
        """
        i = self.net.apply(
            variables, picture_input(self.net, batch._replace(negative=None)), method="see"
        )
        loudness = self.grid.loudness(self.middle(batch.waveform))
        s = self.net.apply(variables, network_input(loudness), method="listen")
        share = loudness / jnp.maximum(loudness.sum(axis=(1, 2), keepdims=True), 1e-10)
        scale = variables["params"]["mask_scale"]
        active = jnp.clip(jnp.einsum("brn,brnk->bk", share, s, precision=EXACT) * scale, 0)
        cells = jax.nn.sigmoid(i)
        maps = jnp.einsum("bhwc,bc,kc->bhwk", cells, active, aux["channels"], precision=EXACT)
        maps = relative(maps)
        prototypes = jnp.broadcast_to(aux["prototypes"], (len(i), *aux["prototypes"].shape))
        heard = self._loudness_of(variables, prototypes, s, share)
        # Row by row of the picture, as a mask for each cell of it takes much room.
        localization = jax.lax.map(
            lambda row: self._loudness_of(variables, row, s, share), cells.swapaxes(0, 1)
        ).swapaxes(0, 1)
        return Prediction(
            maps=maps,
            scores=jnp.sqrt(heard * maps.max(axis=(1, 2))),
            heard=heard,
            localization=relative(localization),
            cluster=assign(picture_guide(i), aux["prototypes"]),
        )

    def _loudness_of(
        self,
        variables: Variables,
        guides: Float[Array, "B G K"],
        s: Float[Array, "B R N K"],
        share: Float[Array, "B R N"],
    ) -> Float[Array, "B G"]:
        """The share of a sound that the mask of each guide leaves."""
        masks = jax.nn.sigmoid(self.net.apply(variables, guides, s, method="mask"))
        return jnp.einsum("bgrn,brn->bg", masks, share, precision=EXACT)

    def separate(
        self, variables: Variables, aux: Aux, batch: Batch, among: Bool[Array, "B K"]
    ) -> Float[Array, "B K T"]:
        """See `avloc.types.Separates`: by the mean guide of each cluster, soft masks shared out."""
        prototypes = aux["prototypes"]
        guides = jnp.broadcast_to(prototypes, (len(batch.waveform), *prototypes.shape))
        return self.separate_by(variables, batch.waveform, guides, among)


def relative(maps: Float[Array, "B h w *K"]) -> Float[Array, "B h w *K"]:
    """Each item over its highest value."""
    highest = maps.max(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return maps / jnp.maximum(highest, 1e-10)
