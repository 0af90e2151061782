"""How many pairs a second a training step would take from the loader on a GPU: an estimate."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from avloc.training.methods import create
from avloc.training.optimizers import make_optimizer
from avloc.training.step import make_step
from avloc.types import DatasetInfo, TrainState
from benchmarks.flops import PEAKS, counted
from benchmarks.step_task import random_batch
from configs import csol

H200_PEAK = PEAKS["NVIDIA H200"]

MFU = 0.35
"""Share of the peak that a step is taken to reach: what the library aims at in bf16."""


def step_flops(size: int = 4, image_size: int = 224) -> float:
    """Operations a pair of the stage-one localization step, counted in the program by XLA."""
    config = csol.base()
    method = create(config, DatasetInfo({config.data.stage_one: size, config.data.stage_two: size}))
    phase = next(method.phases())
    optimizer = make_optimizer(config.optimizers[phase.optimizer])
    batch = random_batch(size, image_size)._replace(negative=None)

    def state(key: PRNGKeyArray) -> TrainState:
        variables, aux = method.init(key, batch)
        states = {phase.optimizer: optimizer.init(variables["params"])}
        return phase.prepared(TrainState(variables, states, aux, jnp.zeros((), jnp.int32)))

    key = jax.random.key(0)
    step = jax.jit(make_step(phase, optimizer, None))
    return counted(step, jax.eval_shape(state, key), batch, key) / size


def pairs_a_second(flops: float, precision: str) -> float:
    """Of an H200, at the share of its peak that `MFU` says."""
    return MFU * H200_PEAK[precision] / flops
