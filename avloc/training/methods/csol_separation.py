"""CSOL that can take a sound apart too: its clusters are the guides of a separator.

Sound-of-Pixels asks the picture which sound is wanted, and must learn what kinds there are while it
learns to separate. Stage one of CSOL knows that already: each clip has a cluster, found by sight
and sound together, with no label. So the guide of a clip is its cluster, one channel of the U-Net
for each, and a few hundred clips are enough.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from ml_collections import ConfigDict

from avloc.models import Separator, UNet
from avloc.training.methods.csol import Csol
from avloc.training.methods.lengths import passes
from avloc.training.methods.networks import PRECISIONS
from avloc.training.methods.separating import Guides, Separating
from avloc.types import Aux, Batch, DatasetInfo, LossOutput, Phase, Variables

_PART = "separator"  # its place among the modules


class KindSeparator(Separating):
    """A separator with a channel for each cluster, and no sight of its own."""

    def network(self) -> Separator:
        """The U-Net and its masks."""
        spec, config = self.config.separation, self.config
        common = {"axis_name": self.axis_name, "dtype": PRECISIONS[config.precision]}
        return Separator(UNet(config.clusters, spec.levels, spec.width, spec.deviation, **common))


class CsolSeparation(Csol):
    """CSOL, then a phase that learns to separate; see `configs/separation_folder.py`."""

    title = "CSOL with separation"

    def __init__(self, config: ConfigDict, info: DatasetInfo, axis_name: str | None = None):
        super().__init__(config, info, axis_name)
        self.separator = KindSeparator(config, info, axis_name)

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        """See `avloc.types.Method`."""
        variables, aux = super().init(key, batch)
        rows, columns = self.config.sound.rows, self.separator.grid.multiple
        guides = jnp.zeros((len(batch.image), 1, self.config.clusters))
        blank = jnp.zeros((len(batch.image), rows, columns, 1))
        own = self.separator.net.init(jax.random.fold_in(key, 1), guides, blank)
        return {kind: {**variables[kind], _PART: own[kind]} for kind in variables}, aux

    def phases(self) -> Iterator[Phase]:
        """See `avloc.types.Method`."""
        yield from super().phases()
        split, spec = self.config.data.stage_one, self.config.separation
        yield Phase(
            "separation",
            split,
            passes(self, split, spec.epochs, spec.steps),
            "separation",
            self.separation_loss,
            checkpoint_name="separation",
        )

    def separation_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """See `Separating.separation_loss`; each clip is asked for by its cluster."""
        guides = jax.nn.one_hot(aux["labels"][batch.index], self.config.clusters)
        loss, out = self.separator.separation_loss(_own(variables), batch, key, guides)
        stats = {**variables["batch_stats"], _PART: out.batch_stats}
        return loss, LossOutput(stats, out.metrics)

    @property
    def window(self) -> int:
        """See `avloc.types.Separates`."""
        return self.separator.window

    def separate(
        self, variables: Variables, aux: Aux, batch: Batch, among: Bool[Array, "B K"]
    ) -> Float[Array, "B K T"]:
        """See `avloc.types.Separates`: soft masks of all clusters, shared out."""
        guides = jnp.eye(self.config.clusters)
        guides = jnp.broadcast_to(guides, (len(batch.waveform), *guides.shape))
        return self.separator.separate_by(_own(variables), batch.waveform, guides, among)

    def guided(self, variables: Variables, aux: Aux, batch: Batch) -> Guides:
        """See `Guided`: the guide of a clip is its cluster."""
        cluster = self.predict(variables, aux, batch).cluster
        guides = jax.nn.one_hot(cluster, self.config.clusters)
        return Guides(self.separator, _own(variables), guides)


def _own(variables: Variables) -> Variables:
    """The part of the variables that the separator has."""
    return {kind: tree[_PART] for kind, tree in variables.items()}
