"""`config.precision` through whole steps: what is kept is float32, and it learns."""

import jax
import jax.numpy as jnp
import pytest

from avloc.machine.devices import Devices
from avloc.runs.checkpoints import example_batch
from avloc.training.methods import create
from avloc.training.optimizers import make_optimizer
from avloc.training.step import make_step
from tests.training.parallel_steps import INFO, batches, initial, settings

STEPS = 12


def kinds(tree):
    return {str(x.dtype) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)}


def start(config, devices):
    """A method, its warm-up step with Adam, and the state before it."""
    method = create(config, INFO, devices.axis_name)
    state = initial()
    phase = next(iter(method.phases()))
    spec = config.optimizers[phase.optimizer]
    spec.learning_rates.default = 1e-3
    optimizer = make_optimizer(spec)
    states = {phase.optimizer: optimizer.init(state.variables["params"])}
    step = devices.compile_step(make_step(phase, optimizer, devices.axis_name))
    return step, devices.replicate(state._replace(optimizers=states))


@pytest.fixture(scope="module")
def runs():
    """State after some steps on one batch and losses, by precision."""
    made = {}
    for name, parallel in (("float32", "jit"), ("bfloat16", "pmap")):
        config = settings("in_batch")
        config.precision = name
        step, state = start(config, Devices(parallel))
        losses = []
        for _ in range(STEPS):
            state, log = step(state, batches(False)[0], jax.random.key(1))
            losses.append(float(log["loss"]))
        made[name] = state, losses
    return made


def test_all_that_is_kept_is_float32(runs):
    state, _ = runs["bfloat16"]
    assert kinds(state) == {"float32"}
    assert jax.tree.structure(state) == jax.tree.structure(runs["float32"][0])


def test_the_loss_goes_down_as_in_float32(runs):
    falls = {name: losses[0] - losses[-1] for name, (_, losses) in runs.items()}
    assert falls["float32"] > 0.3
    assert falls["bfloat16"] == pytest.approx(falls["float32"], rel=0.2)


@pytest.mark.parametrize("of", ["c2f", "csol", "ier"])
def test_every_loss_and_prediction_is_float32(of):
    config = settings("drawn" if of == "csol" else "in_batch", of)
    config.precision = "bfloat16"
    method = create(config, INFO)
    batch = example_batch(config, 4)
    if config.negatives == "drawn":
        batch = batch._replace(negative=batch.image)
    variables, aux = jax.eval_shape(lambda: method.init(jax.random.key(0), batch))
    assert kinds((variables, aux)) == {"float32"}
    for phase in {p.name: p for p in method.phases() if p.epochs}.values():
        out = jax.eval_shape(phase.loss, variables, aux, batch, jax.random.key(0))
        assert kinds(out) == {"float32"}, phase.name
    made = jax.eval_shape(method.predict, variables, aux, batch)
    assert kinds(made) == {"float32"}


def test_unknown_precision():
    config = settings("in_batch")
    config.precision = "float16"
    with pytest.raises(ValueError, match="precision is 'float32' or 'bfloat16', not 'float16'"):
        create(config, INFO)
