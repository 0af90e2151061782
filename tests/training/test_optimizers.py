"""Optimizers: a rate a module, frozen modules, decay through the moments, moments reset."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from avloc.training.optimizers import make_optimizer, reset_moments


def spec(weight_decay=0.0, clip_norm=0.0, half_life=0, decay_from=0, **rates):
    return ConfigDict(
        {
            "learning_rates": rates,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "half_life": half_life,
            "decay_from": decay_from,
        }
    )


@pytest.fixture
def params():
    return {
        "trunk": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([0.5])},
        "head": {"kernel": jnp.array([3.0])},
    }


GRADS = [
    {"trunk": {"kernel": jnp.array([[g, -g]]), "bias": jnp.array([2 * g])},
     "head": {"kernel": jnp.array([-g])}}
    for g in (0.1, 0.3, -0.2)
]  # fmt: skip


def steps(optimizer, params, grads=GRADS):
    state = optimizer.init(params)
    for gradient in grads:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def adam_with_l2(p, grads, rate, decay):
    """PyTorch's Adam, by hand."""
    m = v = np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        g = g + decay * p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


def test_each_module_has_its_rate(params):
    got, _ = steps(make_optimizer(spec(0.1, default=1e-2, head=1e-1)), params)
    for module, leaf, rate in (
        ("trunk", "kernel", 1e-2),
        ("trunk", "bias", 1e-2),
        ("head", "kernel", 1e-1),
    ):
        grads = [np.asarray(g[module][leaf]) for g in GRADS]
        expected = adam_with_l2(np.asarray(params[module][leaf]), grads, rate, 0.1)
        np.testing.assert_allclose(got[module][leaf], expected, rtol=1e-5)


def test_what_is_reached_moves_as_by_adam_with_decay(params):
    """The same numbers as optax's own chain, step by step."""
    plain = optax.chain(
        optax.add_decayed_weights(0.1), optax.scale_by_adam(), optax.scale_by_learning_rate(1e-2)
    )
    got, expected = (steps(o, params)[0] for o in (make_optimizer(spec(0.1, default=1e-2)), plain))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_states_are_those_of_adam_with_decay(params):
    """Checkpoints from before `where_reached` are read."""
    plain = optax.multi_transform(
        {
            "default": optax.chain(
                optax.add_decayed_weights(0.1),
                optax.scale_by_adam(),
                optax.scale_by_learning_rate(1e-2),
            )
        },
        lambda params: jax.tree.map(lambda _: "default", params),
    )
    ours = make_optimizer(spec(0.1, default=1e-2))
    assert jax.tree.structure(ours.init(params)) == jax.tree.structure(plain.init(params))


def test_what_is_not_reached_stands_still_and_its_moments_fade(params):
    """By hand: no decay and no update in the second step; then on from faded moments."""
    none = jax.tree.map(jnp.zeros_like, GRADS[0]["head"])
    grads = [GRADS[0], {**GRADS[1], "head": none}, GRADS[2]]
    optimizer = make_optimizer(spec(0.1, default=1e-2))
    after = [np.asarray(steps(optimizer, params, grads[:n])[0]["head"]["kernel"]) for n in range(4)]
    np.testing.assert_array_equal(after[2], after[1])
    p, m, v = np.float64(after[0]), 0.0, 0.0
    for t, gradient in enumerate(grads, 1):
        g = np.asarray(gradient["head"]["kernel"], np.float64)
        reached = g.any()
        g = g + 0.1 * p * reached
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        if reached:
            p = p - 1e-2 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(after[t], p, rtol=1e-5)


def test_one_value_that_is_reached_is_enough(params):
    """Decay acts on the whole array then, as in the papers."""
    grads = jax.tree.map(jnp.zeros_like, GRADS[0])
    grads["trunk"]["kernel"] = jnp.array([[0.5, 0.0]])
    got, _ = steps(make_optimizer(spec(0.1, default=1e-2)), params, [grads])
    assert (np.asarray(got["trunk"]["kernel"]) != np.asarray(params["trunk"]["kernel"])).all()
    np.testing.assert_array_equal(got["trunk"]["bias"], params["trunk"]["bias"])


def test_a_gradient_that_is_not_a_number_is_not_hidden(params):
    grads = jax.tree.map(lambda g: jnp.full_like(g, jnp.nan), GRADS[0])
    got, _ = steps(make_optimizer(spec(0.1, default=1e-2)), params, [grads])
    assert all(np.isnan(x).all() for x in jax.tree.leaves(got))


def test_a_rate_of_zero_freezes(params):
    got, state = steps(make_optimizer(spec(0.1, default=1e-2, trunk=0.0)), params)
    jax.tree.map(np.testing.assert_array_equal, got["trunk"], params["trunk"])
    assert got["head"]["kernel"] != params["head"]["kernel"]
    # Nothing is kept for what is frozen: the two moments of `head` and the count.
    assert sum(x.size for x in jax.tree.leaves(state)) == 3


def test_gradients_are_clipped_together(params):
    norm = float(optax.global_norm(GRADS[0]))
    clipped = jax.tree.map(lambda g: g * 0.05 / norm, GRADS[0])
    # One step of Adam hides the size of a gradient; its first moment tells.
    _, state = steps(make_optimizer(spec(clip_norm=0.05, default=1e-2)), params, GRADS[:1])
    _, plain = steps(make_optimizer(spec(default=1e-2)), params, [clipped])
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_reset_forgets_the_named_and_keeps_the_rest(params):
    _, state = steps(make_optimizer(spec(default=1e-2, head=1e-1)), params)

    def named(path):
        return any(getattr(part, "key", None) == "head" for part in path)

    reset = reset_moments(state, named)
    assert jax.tree.structure(reset) == jax.tree.structure(state)
    before = jax.tree_util.tree_leaves_with_path(state)
    after = jax.tree.leaves(reset)
    assert any(named(path) for path, _ in before) and not all(named(path) for path, _ in before)
    for (path, old), new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, 0 * old if named(path) else old)


def test_rates_halve_from_the_step_that_the_spec_names(params):
    # With a constant gradient, Adam's update is the rate, whatever the step.
    optimizer = make_optimizer(spec(half_life=2, decay_from=3, default=0.1))
    gradient = jax.tree.map(jnp.ones_like, params)
    state, moved = optimizer.init(params), []
    for _ in range(8):
        updates, state = optimizer.update(gradient, state, params)
        moved.append(-float(updates["head"]["kernel"][0]))
    expected = [0.1 * 0.5 ** (max(0, n - 3) / 2) for n in range(8)]
    np.testing.assert_allclose(moved, expected, rtol=1e-4)


def test_momentum_and_steps_of_a_tenth_by_hand(params):
    """PyTorch's SGD: `m = 0.9 m + g + decay p`, `p = p - rate m`; the rate falls after 2 steps."""
    own = spec(0.1, default=1e-2)
    own.momentum, own.tenth_every = 0.9, 2
    got, _ = steps(make_optimizer(own), params)
    p, m = np.array([3.0]), 0.0
    for gradient, rate in zip(GRADS, (1e-2, 1e-2, 1e-3), strict=True):
        m = 0.9 * m + gradient["head"]["kernel"] + 0.1 * p
        p = p - rate * m
    np.testing.assert_allclose(got["head"]["kernel"], p, rtol=1e-6)
