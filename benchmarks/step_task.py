"""A training step of a config at full size, and what its alternatives need to do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from avloc.data_pipelines.media.audio import log_mel
from avloc.data_pipelines.media.image import normalize
from avloc.training.methods import create, initialize
from avloc.training.optimizers import make_optimizer
from avloc.training.step import make_step
from avloc.types import Batch, DatasetInfo, Method, Phase, TrainState

SECOND = 16000
"""Samples of a clip: 201 frames of 64 mel bins."""


@dataclass(frozen=True)
class Task:
    """A phase of a config, with random weights, dictionary and prototypes, and a random batch.

    Attributes:
      method: of the config.
      phase: whose step is taken.
      state: to start from.
      batch: with drawn negatives.
    """

    method: Method
    phase: Phase
    state: TrainState
    batch: Batch

    @classmethod
    def of(cls, config: ConfigDict, phase: str, size: int, seed: int = 0) -> Task:
        """The phase of that name, of a config, with a batch of `size` pairs."""
        data = config.data
        counts = {data.stage_one: size, data.stage_two: size}
        method = create(config, DatasetInfo(counts), None)
        found = next(each for each in method.phases() if each.name == phase)
        batch = random_batch(size, config.image_size, seed)
        variables, aux = initialize(method, jax.random.key(seed), batch)
        optimizer = make_optimizer(config.optimizers[found.optimizer])
        state = TrainState(
            variables,
            {found.optimizer: optimizer.init(variables["params"])},
            _learnt(aux, seed),
            jnp.zeros((), jnp.int32),
        )
        return cls(method, found, found.prepared(state), batch)

    @property
    def config(self) -> ConfigDict:
        """Of the method."""
        return self.method.config

    def program(self) -> Any:
        """The library's step of the phase, jitted: see `make_step`."""
        optimizer = make_optimizer(self.config.optimizers[self.phase.optimizer])
        return jax.jit(make_step(self.phase, optimizer, None), donate_argnums=0)

    def ours(self, negatives: str) -> Callable[[], Float[Array, ""]]:
        """The library's step, from the batch of the loader; each call takes one step.

        Args:
          negatives: `in_batch` or `drawn`, as `config.negatives`.

        Returns:
          A function that takes one step and returns the loss before it, which is ready when the
          step is over.
        """
        step = self.program()
        batch = self.batch if negatives == "drawn" else self.batch._replace(negative=None)
        batch, key = jax.device_put(batch), jax.random.key(0)
        state = jax.tree.map(jnp.copy, self.state)

        def take() -> Float[Array, ""]:
            nonlocal state
            state, log = step(state, batch, key)
            return log["loss"]

        return take

    @cached_property
    def inputs(self) -> Mapping[str, np.ndarray]:
        """What the published code's loader passes to a step: images and sounds ready for use.

        For `identification` the sounds are mixtures, and `present` and `mixed` describe them, as
        made by our first step.
        """
        batch, found = self.batch, {}
        waveform = batch.waveform
        if self.phase.name == "identification":
            key = jax.random.fold_in(jax.random.key(0), 0)
            aux = {**self.state.aux, "step": self.state.step}  # as the step passes it
            waveform, held = jax.jit(self.method.mix)(aux, batch, key)
            labels = jax.nn.one_hot(self.state.aux["labels"][batch.index], self.config.clusters)
            found = {"present": held @ labels > 0, "mixed": held.sum(axis=1) > 1}
        found |= {
            "images": normalize(batch.image),
            "negatives": normalize(batch.negative),
            "sounds": jax.jit(log_mel)(waveform),
        }
        return {name: np.asarray(value) for name, value in found.items()}

    @property
    def learning_rates(self) -> Mapping[str, float]:
        """Of each top-level module of the network."""
        rates = self.config.optimizers[self.phase.optimizer].learning_rates
        return {name: rates.get(name, rates.default) for name in self.state.variables["params"]}

    @property
    def weight_decay(self) -> float:
        """Of the phase's Adam."""
        return self.config.optimizers[self.phase.optimizer].weight_decay


def random_batch(size: int, side: int, seed: int = 0) -> Batch:
    """Noise, each item from its own video, with an image of another video."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, size, side, side, 3), dtype=np.uint8)
    waveform = rng.normal(0, 3000, (size, SECOND)).astype(np.int16)
    return Batch.of(images[0], waveform)._replace(negative=images[1])


def _learnt(aux: Any, seed: int) -> Any:
    """`aux` with random keys and prototypes, and labels in turn, as after clustering."""
    rng = np.random.default_rng(seed)
    k = len(aux["dictionary"])
    names = {"dictionary", "centroids", "audio_prototypes"} & aux.keys()
    random = {name: jnp.abs(rng.normal(size=aux[name].shape).astype(np.float32)) for name in names}
    labels = jnp.arange(len(aux["labels"]), dtype=jnp.int32) % k
    return {**aux, **random, "labels": labels}
