"""`python -m benchmarks.device_times`: seconds of k-means and a training step over all devices."""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

import jax

from avloc.clustering import kmeans
from avloc.configs import csol
from avloc.machine.devices import Devices, over_devices
from avloc.training.optimizers import make_optimizer
from avloc.training.step import make_step
from benchmarks.kmeans import representations
from benchmarks.row import in_turn
from benchmarks.step_task import Task


def measure(quick: bool) -> dict[str, float]:
    """Median seconds of each, by name."""
    rows, columns, k = (64, 4, 5) if quick else (20_000, 512, 500)
    x, mask = over_devices(representations(rows, columns))
    init = representations(k, columns, seed=1)

    def cluster() -> Any:
        return kmeans(x, k, jax.random.key(0), init=init, mask=mask, iterations=3, tolerance=0)

    config = csol.base()
    config.image_size, size = (32, 4) if quick else (112, 16)
    config.model.width = 4 if quick else 32
    task = Task.of(config, "localization", size)
    devices = Devices()
    optimizer = make_optimizer(config.optimizers[task.phase.optimizer])
    step = devices.compile_step(make_step(task.phase, optimizer, None))
    batch, key = task.batch._replace(negative=None), jax.random.key(0)
    state = devices.replicate(task.state)

    def train() -> Any:
        nonlocal state
        state, log = step(state, batch, key)
        return state, log

    names = {
        f"k-means {rows:,} x {columns}, K = {k}": cluster,
        f"step of {size} pairs, {config.image_size} pixels, width {config.model.width}": train,
    }
    return {name: statistics.median(s) for name, s in in_turn(names, rounds=3).items()}


if __name__ == "__main__":
    print(json.dumps(measure("--quick" in sys.argv)))
