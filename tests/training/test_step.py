"""The step: one value-and-gradient, one update, statistics, a key that follows the step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avloc.training.step import make_step
from avloc.types import LossOutput, Phase, TrainState


def loss(variables, aux, batch, key):
    """`mean((w x + b - c)^2)` with c from aux; reports the key it saw."""
    p = variables["params"]
    error = p["w"] * batch + p["b"] - aux["target"]
    stats = {"mean": 0.5 * variables["batch_stats"]["mean"] + 0.5 * batch.mean()}
    return jnp.mean(error**2), LossOutput(stats, {"chance": jax.random.uniform(key)})


@pytest.fixture
def start():
    optimizers = {"a": optax.sgd(0.1), "b": optax.adam(0.1)}
    params = {"w": jnp.float32(1.0), "b": jnp.float32(0.0)}
    state = TrainState(
        variables={"params": params, "batch_stats": {"mean": jnp.float32(0.0)}},
        optimizers={name: o.init(params) for name, o in optimizers.items()},
        aux={"target": jnp.array([1.0, 2.0]), "labels": jnp.arange(3)},
        step=jnp.int32(7),
    )
    return state, optimizers


def test_a_step_by_hand(start):
    state, optimizers = start
    step = make_step(Phase("p", "s", 1, "a", loss), optimizers["a"], None)
    batch, key = jnp.array([2.0, 4.0]), jax.random.key(0)
    new, log = step(state, batch, key)
    # Errors 1 and 2: dL/dw = mean(2 e x) = 10, dL/db = mean(2 e) = 3.
    assert float(log["loss"]) == pytest.approx(2.5)
    assert float(log["gradient_norm"]) == pytest.approx(np.hypot(10, 3))
    assert float(new.variables["params"]["w"]) == pytest.approx(0.0, abs=1e-6)
    assert float(new.variables["params"]["b"]) == pytest.approx(-0.3)
    assert float(new.variables["batch_stats"]["mean"]) == 1.5
    assert int(new.step) == 8
    chance = jax.random.uniform(jax.random.fold_in(key, 7))
    assert float(log["chance"]) == float(chance)
    assert float(step(new, batch, key)[1]["chance"]) != float(chance)


def test_only_what_is_learnt_changes(start):
    state, optimizers = start
    step = make_step(Phase("p", "s", 1, "b", loss), optimizers["b"], None)
    new, _ = step(state, jnp.array([2.0, 4.0]), jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, new.aux, state.aux)
    assert new.optimizers["a"] is state.optimizers["a"]
    assert float(new.optimizers["b"][0].mu["w"]) == pytest.approx(1.0)
    assert jax.tree.structure(new) == jax.tree.structure(state)


def test_jit_equals_no_jit(start):
    state, optimizers = start
    step = make_step(Phase("p", "s", 1, "b", loss), optimizers["b"], None)
    arguments = state, jnp.array([2.0, 4.0]), jax.random.key(0)
    for a, b in zip(
        *map(jax.tree.leaves, (step(*arguments), jax.jit(step)(*arguments))), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_mapped_step_takes_the_mean_gradient(start):
    """Each half sees its own items; the loss below is written on the half alone."""
    state, optimizers = start
    mapped = make_step(Phase("p", "s", 1, "a", loss), optimizers["a"], "data")
    state = state._replace(aux={"target": jnp.float32(1.0)})
    batch, key = jnp.array([[2.0, 4.0], [1.0, 3.0]]), jax.random.key(0)
    new, _ = jax.vmap(mapped, (None, 0, None), axis_name="data")(state, batch, key)
    whole = make_step(Phase("p", "s", 1, "a", loss), optimizers["a"], None)
    expected, _ = whole(state, batch.ravel(), key)
    for name in ("w", "b"):
        got = new.variables["params"][name]
        np.testing.assert_allclose(got, [expected.variables["params"][name]] * 2, rtol=1e-6)
