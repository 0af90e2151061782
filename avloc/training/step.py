"""The one training step: value and gradient, update, statistics."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from avloc.types import Batch, Phase, TrainState


def make_step(
    phase: Phase,
    optimizer: optax.GradientTransformation,
    axis_name: str | None,
    skip_nonfinite: bool = False,
) -> Any:
    """The pure step of a phase: `(state, batch, seed key) -> (state, scalars to log)`.

    The step's key is `fold_in(seed key, state.step)`, so that a resumed run is the same run.

    Args:
      phase: it has the loss.
      optimizer: of the phase.
      axis_name: mapped axis under `pmap`.
      skip_nonfinite: whether a step whose loss or gradient is not finite changes nothing but the
        count of steps.
    """

    def step(
        state: TrainState, batch: Batch, seed_key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        key = jax.random.fold_in(seed_key, state.step)

        def loss(params: Any) -> Any:
            aux = {**state.aux, "step": state.step}
            return phase.loss({**state.variables, "params": params}, aux, batch, key)

        params = state.variables["params"]
        (value, out), grads = jax.value_and_grad(loss, has_aux=True)(params)
        if axis_name is not None:
            # Each device holds the loss of the whole batch, on gathered outputs: the mean of
            # their gradients is the gradient (see `devices.gather`).
            grads = jax.lax.pmean(grads, axis_name)
        updates, optimizer_state = optimizer.update(
            grads, state.optimizers[phase.optimizer], params
        )
        new = TrainState(
            variables={
                "params": optax.apply_updates(params, updates),
                "batch_stats": out.batch_stats,
            },
            optimizers={**state.optimizers, phase.optimizer: optimizer_state},
            aux=state.aux,
            step=state.step + 1,
        )
        norm = optax.global_norm(grads)
        if skip_nonfinite:
            good = jnp.isfinite(value) & jnp.isfinite(norm)
            kept = jax.tree.map(lambda x, old: jnp.where(good, x, old), new, state)
            new = kept._replace(step=new.step)
        return new, {"loss": value, "gradient_norm": norm, **out.metrics}

    return step
