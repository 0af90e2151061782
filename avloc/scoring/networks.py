"""What is scored in a row of a run's table: a trained stage, or the network before training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from avloc.runs.checkpoints import example_batch
from avloc.training.feature_cache import FeatureCache
from avloc.training.loading import load_run
from avloc.training.methods import initialize
from avloc.training.optimizers import make_optimizers
from avloc.training.scan import scan_split
from avloc.types import Aux, TrainState, Variables

if TYPE_CHECKING:
    from avloc.scoring.run import Scorer


class Network(NamedTuple):
    """What is scored in a row of the table: a trained stage, or the untrained network.

    Attributes:
      row: its name in tables.
      folder: its name in file names.
      variables: of the method.
      aux: of the method.
    """

    row: str
    folder: str
    variables: Variables
    aux: Aux

    def assigned(self, count: int) -> Int[np.ndarray, " S"] | None:
        """The cluster that stage one gave to each of so many training clips, if it keeps them.

        None where it does not, where nothing is clustered yet, or where it saw other clips.
        """
        labels = np.asarray(self.aux.get("labels", ()))
        return labels if labels.shape == (count,) and labels.any() else None


def untrained(scorer: Scorer, frozen: tuple[FeatureCache, TrainState] | None) -> Network:
    """The network before training, with its own clusters: refreshes up to these are run."""
    key = jax.random.fold_in(jax.random.key(scorer.config.seed), 0)
    variables, aux = initialize(scorer.method, key, example_batch(scorer.config))
    if scorer.config.model.frozen:
        # What stands still is no part of what a network learns.
        trained = load_run(scorer.run.path).variables
        variables = {
            kind: {**tree, **{name: trained[kind][name] for name in scorer.config.model.frozen}}
            for kind, tree in variables.items()
        }
    optimizers = {
        name: optimizer.init(variables["params"])
        for name, optimizer in make_optimizers(scorer.config).items()
    }
    state = TrainState(variables, optimizers, aux, 0)

    def scan(f: Callable[..., Any], state: TrainState, split: str) -> Any:
        maps = frozen and frozen[0].evaluation(split, state)
        return scan_split(f, state, scorer.dataset, split, scorer.config, scorer.devices, maps=maps)

    key = jax.random.fold_in(jax.random.key(scorer.config.seed), 1_000_000)
    for phase in scorer.method.phases():
        if phase.refresh is not None:
            state = phase.refresh(state, scan, key)
            if np.any(state.aux.get("labels", True)):
                break
    variables, aux = jax.device_get((state.variables, state.aux))
    return Network("untrained network", "untrained", variables, aux)
