"""How the mixtures that the Audio-Instance-Identifier hears get harder (IEr 3.2 and F)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from avloc.types import Aux

CURRICULA = ("rounded", "epochs", "batches")
COUNTS = ("up_to", "exactly")


class Curriculum:
    """The share of mixtures in a batch and the clips in one, from the first step to the last.

    Both depend on traced numbers in aux, so nothing is compiled again.

    Args:
      spec: `config.identification`. `curriculum`: `batches`, both rise with every batch (IEr F:
        "according to its training progress in a batch"), each number of clips for an equal part of
        the way ("evenly"); `epochs`, the same, once an epoch; `rounded`, once an epoch, the number
        rounded to the nearest, so that the first and the last get half as long as the others.
      clusters: how many pseudo labels there are.

    Raises:
      ValueError: a field that means nothing.
    """

    def __init__(self, spec: ConfigDict, clusters: int):
        (low, high), (few, many) = spec.share, spec.sources
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"config.identification.share is two shares from 0 to 1, not {(low, high)}"
            )
        if not 2 <= few <= many:
            raise ValueError(
                f"config.identification.sources is two numbers from 2 up, not {(few, many)}"
            )
        if high and many > clusters:
            raise ValueError(
                f"config.identification.sources asks for mixtures of {many} clips of different "
                f"clusters, but config.clusters is {clusters}: lower one or raise the other"
            )
        for name, known in (("curriculum", CURRICULA), ("count", COUNTS)):
            if spec[name] not in known:
                raise ValueError(
                    f"config.identification.{name} is one of {', '.join(known)}, not {spec[name]!r}"
                )
        self._spec = spec
        self._by_batches = spec.curriculum == "batches"

    def stretch(self, epoch: int, epochs: int, steps: int) -> tuple[float, float]:
        """Progress, 0 to 1, as an epoch of so many steps begins, and what each step adds to it."""
        if not self._by_batches:
            return epoch / max(epochs - 1, 1), 0.0
        rise = 1 / max(epochs * steps - 1, 1)
        return epoch * steps * rise, rise

    def entries(self, progress: float, rise: float, step: int | Int[Array, ""]) -> dict[str, Any]:
        """What aux holds of a stretch that begins at this step of the run."""
        found = {"progress": jnp.asarray(progress, jnp.float32)}
        if self._by_batches:
            found["rise"] = jnp.asarray(rise, jnp.float32)
            found["begun"] = jnp.asarray(step, jnp.int32)
        return found

    def at(self, aux: Aux) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Share of mixtures in this step's batch, and the clips of its largest mixture."""
        (low, high), (few, many) = self._spec.share, self._spec.sources
        progress = aux["progress"]
        if self._by_batches:
            taken = jnp.asarray(aux["step"] - aux["begun"], jnp.float32)
            progress = progress + aux["rise"] * taken
        share = low + (high - low) * progress
        if self._spec.curriculum == "rounded":
            return share, few + jnp.floor((many - few) * progress + 0.5)
        # The small term: a third of the way is 0.33333 in float32, and begins the next number.
        part = jnp.floor((many - few + 1) * progress + 1e-5)
        return share, few + jnp.clip(part, 0, many - few)
