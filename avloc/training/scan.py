"""A pure function over a whole split, for refreshes and for scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.data_pipelines.records.stored_maps import StoredMaps
from avloc.machine.devices import Devices
from avloc.machine.stopping import Stop
from avloc.progress import track
from avloc.types import TrainState


def scan_split(
    f: Callable[..., Any],
    state: TrainState,
    dataset: Dataset,
    split: str,
    config: ConfigDict,
    devices: Devices,
    stop: Stop | None = None,
    maps: StoredMaps | None = None,
) -> Any:
    """`f` over a split: the rows of real items, stacked in the order of their index.

    With `maps`, of the evaluation view of each item, no picture is read.
    """
    call, count = devices.scan_fn(f), len(dataset.source(split))
    size = devices.even(config.batch_size)
    batches = evaluation_batches(
        dataset.source(split),
        image_size=config.image_size,
        batch_size=size,
        maps=maps,
        slots=dataset.info.max_objects,
        shard=devices.shard,
        threads=config.data.threads,
    )
    rows = []
    for batch in track(batches, "features", -(-count // size), "batch", told=False):
        if stop is not None and stop():
            raise stop.interrupted("stopped between two phases")
        rows.append(call(state.variables, state.aux, devices.put(batch)))
    # Batches are in order, padding is behind.
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *rows)
