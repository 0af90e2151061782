"""Loss and gradient of batches in parts, on all devices of this process, saved to a file.

`python -m tests.training.microbatch_steps OUT.npz`
"""

from __future__ import annotations

import sys

import jax
import numpy as np
import optax

from avloc.machine.devices import Devices
from avloc.training.methods import create
from avloc.training.step import make_step
from tests.training.parallel_steps import INFO, batches, flat, initial, settings

PARTS = 2
# Both ways to spread over devices, both kinds of negatives.
CASES = (
    ("jit", "csol", "in_batch", "mixed localization"),
    ("pmap", "csol", "drawn", "matching"),
    ("pmap", "ier", "in_batch", "identification"),
    ("jit", "ier", "drawn", "referral"),
)
# Descent whose state is the gradient.
OPTIMIZER = optax.sgd(0.1, momentum=0.0)


def step(case: tuple[str, ...], parts: int, change=lambda method: None) -> dict[str, np.ndarray]:
    """What a step logs, its gradient and the new statistics. `change` may alter the method."""
    parallel, of, negatives, name = case
    devices = Devices(parallel)
    config = settings(negatives, of)
    config.accumulate = parts
    method = create(config, INFO, devices.axis_name)
    change(method)
    (phase,) = {p.name: p for p in method.phases() if p.name == name}.values()
    state = phase.prepared(initial(of))
    states = {phase.optimizer: OPTIMIZER.init(state.variables["params"])}
    state = devices.replicate(state._replace(optimizers=states))
    call = devices.compile_step(make_step(phase, OPTIMIZER, devices.axis_name))
    batch = batches(negatives == "drawn")[-1]  # whose last item is padding
    new, log = call(state, batch, jax.random.key(2))
    gradient = new.optimizers[phase.optimizer][0].trace
    return flat("", {"log": log, "gradient": gradient, "stats": new.variables["batch_stats"]})


if __name__ == "__main__":
    results = {f"{case}|{k}": v for case in CASES for k, v in step(case, PARTS).items()}
    np.savez(sys.argv[1], devices=jax.device_count(), **results)
