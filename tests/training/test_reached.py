"""A module that a phase's loss does not reach does not move: every method, every phase."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avloc.training.methods import create
from avloc.training.optimizers import make_optimizers
from avloc.training.step import make_step
from tests.training.parallel_steps import INFO, batches, initial, settings

pytestmark = pytest.mark.usefixtures("in_haste")


def csol(**fields):
    config = settings("in_batch")
    config.hearing.update(dict(steps=1, share=0.5, sources=2, gain_db=6.0))
    config.stage_one.update(dict(epochs=2, mixtures_after=1))
    return config


def dsol():
    config = settings("drawn")
    config.representation = "mask"
    return config


def ier():
    return settings("in_batch", "ier")


def c2f():
    return settings("in_batch", "c2f")


def matched():
    """InfoNCE alone, which no scale and no bias of the logit is in; hearing with it."""
    config = csol()
    config.correspondence.update(dict(bce=0.0, info_nce=1.0))
    config.warmup.update(dict(bce=0.0, info_nce=1.0))
    config.hearing.localization_weight = 1.0
    return config


def still():
    config = csol()
    config.model.frozen = ("visual",)
    return config


KINDS = {"c2f": c2f, "csol": csol, "dsol": dsol, "ier": ier, "matched": matched, "still": still}


def remembering(optimizer):
    """The optimizer, with the gradients of its last step in its state."""

    def update(grads, state, params):
        updates, inner = optimizer.update(grads, state[0], params)
        return updates, (inner, grads)

    return optax.GradientTransformation(
        lambda params: (optimizer.init(params), jax.tree.map(jnp.zeros_like, params)), update
    )


def leaves(tree):
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(x) for path, x in flat
    }


def steps(config, phase, optimizer, count=2):
    """Names of parameters that the loss reached, and of those that moved, of each step.

    The optimizer comes with moments of an earlier phase.
    """
    optimizer = remembering(optimizer)
    state = initial(config.method)
    old = jax.tree.map(
        lambda x: jnp.full_like(x, 0.1) if x.dtype == jnp.float32 else x,
        optimizer.init(state.variables["params"]),
    )
    state = phase.prepared(state)._replace(optimizers={phase.optimizer: old})
    step = make_step(phase, optimizer, None)  # operation by operation, which phases share
    found = []
    for batch in batches(config.negatives == "drawn")[:count]:
        before = leaves(state.variables["params"])
        state, log = step(state, batch, jax.random.key(1))
        assert np.isfinite(log["loss"])
        grads = leaves(state.optimizers[phase.optimizer][1])
        after = leaves(state.variables["params"])
        reached = {name for name, g in grads.items() if (g != 0).any()}
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        found.append((reached, moved, set(before)))
    return found


def phases(config):
    """One of each loss, by name."""
    made = [phase for phase in create(config, INFO).phases() if phase.epochs]
    return {p.name: p for p in {phase.loss: phase for phase in made}.values()}


CASES = [(kind, name) for kind, make in KINDS.items() for name in phases(make())]


def test_every_optimizer_has_its_phase():
    """None is left out below."""
    for kind, make in KINDS.items():
        config = make()
        left = set(config.optimizers) - {p.optimizer for p in phases(config).values()}
        assert left == ({"hearing"} if kind in ("c2f", "dsol", "ier") else set())
    assert len(CASES) == 5 + 5 + 4 + 5 + 5 + 5


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_what_a_loss_does_not_reach_does_not_move(kind, name):
    config = KINDS[kind]()
    phase = phases(config)[name]
    rates = config.optimizers[phase.optimizer].learning_rates
    for reached, moved, names in steps(config, phase, make_optimizers(config)[phase.optimizer]):
        assert len(moved - reached) == 0, moved - reached
        modules = {n: n.split("/")[0] for n in reached}
        assert moved == {
            n
            for n, module in modules.items()
            if rates.get(module, rates.default) and module not in config.model.frozen
        }
        assert names - reached  # there is something to be left alone in every phase


def test_decay_alone_and_old_moments_would_move_it():
    """The check is sharp: Adam with L2, as it is in optax, moves the head of the other phase."""
    config = csol()
    plain = optax.chain(optax.add_decayed_weights(1e-4), optax.scale_by_adam(), optax.scale(-1e-4))
    phase = phases(config)["mixed classification"]
    for reached, moved, _ in steps(config, phase, plain, count=1):
        assert {"correspondence/visual1/kernel", "correspondence/scale"} <= moved - reached


def test_a_head_survives_a_long_phase_that_does_not_reach_it():
    """4,000 steps of decay alone erased it: each step was as large as a step of learning."""
    params = {"head": {"w": jnp.float32([0.3, -0.2])}, "other": {"w": jnp.float32([1.0])}}
    grads = {"head": {"w": jnp.zeros(2)}, "other": {"w": jnp.float32([0.1])}}
    config = csol()
    optimizer = make_optimizers(config)["classification"]

    @jax.jit
    def run(params, state):
        def one(carry, _):
            params, state = carry
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(one, (params, state), length=4000)[0]

    after, _ = run(params, optimizer.init(params))
    np.testing.assert_array_equal(after["head"]["w"], params["head"]["w"])
    assert abs(float(after["other"]["w"][0]) - 1.0) > 0.1
