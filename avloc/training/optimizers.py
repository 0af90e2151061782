"""Optimizers from their declaration in a config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict


def make_optimizers(config: ConfigDict) -> dict[str, optax.GradientTransformation]:
    """Every optimizer of `config.optimizers`, by name; none moves a frozen backbone."""
    frozen = config.model.frozen
    return {name: make_optimizer(spec, frozen) for name, spec in config.optimizers.items()}


def make_optimizer(spec: ConfigDict, frozen: Sequence[str] = ()) -> optax.GradientTransformation:
    """An optimizer with a learning rate for each part of the network.

    `spec.learning_rates` maps a top-level module's name to its rate; `default` is the others'. A
    rate of 0 freezes the module. `spec.weight_decay` is the L2 penalty that goes through Adam's
    moments, as in PyTorch's Adam, whose figures the papers report. It acts on parameters that the
    loss reaches; the others stand still (`where_reached`). `spec.clip_norm`: largest global norm
    of the gradient, 0 for none. All rates halve every `spec.half_life` of this optimizer's steps
    from step `spec.decay_from` on; with a half-life of 0 they stay.

    Where the spec has `momentum`, the optimizer is SGD with it in place of Adam; where it has
    `tenth_every`, rates fall to a tenth after every so many steps instead.

    Args:
      spec: one of `config.optimizers`.
      frozen: modules that have the rate 0 whatever `spec` says, `config.model.frozen`.
    """
    rates = {**spec.learning_rates, **dict.fromkeys(frozen, 0.0)}
    momentum = spec.get("momentum", 0.0)

    def schedule(rate: float) -> optax.ScalarOrSchedule:
        if every := spec.get("tenth_every", 0):
            return optax.exponential_decay(rate, every, 0.1, staircase=True)
        if not spec.half_life:
            return rate
        return optax.exponential_decay(rate, spec.half_life, 0.5, transition_begin=spec.decay_from)

    def group(rate: float) -> optax.GradientTransformation:
        if rate == 0:
            return optax.set_to_zero()
        return where_reached(
            spec.weight_decay,
            # Checkpoints of before have a place for the decay, which was in the chain.
            optax.chain(
                optax.identity(),
                optax.trace(momentum) if momentum else optax.scale_by_adam(),
                optax.scale_by_learning_rate(schedule(rate)),
            ),
        )

    def label(params: Any) -> Any:
        return {
            name: jax.tree.map(lambda _, n=name: n if n in rates else "default", tree)
            for name, tree in params.items()
        }

    transform = optax.multi_transform({name: group(rate) for name, rate in rates.items()}, label)
    if spec.clip_norm:
        transform = optax.chain(optax.clip_by_global_norm(spec.clip_norm), transform)
    return transform


def where_reached(
    decay: float, inner: optax.GradientTransformation
) -> optax.GradientTransformation:
    """L2 decay and an update for parameters that the loss reaches, and for no other.

    Adam divides a gradient by its own size. Where a loss reaches a parameter not at all, the decay
    alone would be that gradient, and would shrink it at the full rate: 4,000 steps of
    classification erase a localization head.

    Args:
      decay: factor of the penalty.
      inner: what makes updates of gradients and penalties.
    """

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        reached = jax.tree.map(lambda g: jnp.any(g != 0), grads)
        decayed = jax.tree.map(
            lambda g, p, r: g + jnp.where(r, decay, 0.0) * p, grads, params, reached
        )
        updates, state = inner.update(decayed, state, params)
        return jax.tree.map(lambda u, r: jnp.where(r, u, 0.0), updates, reached), state

    return optax.GradientTransformation(inner.init, update)


def reset_moments(state: Any, forget: Callable[[tuple[Any, ...]], bool]) -> Any:
    """An optimizer state whose entries on paths that `forget` accepts are zero.

    For modules that were given fresh values: their old moments say nothing of them.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.zeros_like(x) if forget(path) else x, state
    )
