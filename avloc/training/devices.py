"""The one device wrapper: the same pure step under `jit` over a mesh, or under `pmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from avloc.types import Batch

AXIS = "data"


def gather(tree: Any, axis_name: str | None) -> Any:
    """The whole batch's values from this device's part of them; as they are under `jit`.

    Losses are written on gathered outputs, so that pairs across devices count under `pmap` too.
    """
    if axis_name is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, tiled=True), tree)


def local_part(tree: Any, axis_name: str | None) -> Any:
    """This device's part of gathered values: the inverse of `gather`."""
    if axis_name is None:
        return tree
    place, count = jax.lax.axis_index(axis_name), jax.lax.axis_size(axis_name)

    def part(x: Any) -> Any:
        return jax.lax.dynamic_slice_in_dim(x, place * (len(x) // count), len(x) // count)

    return jax.tree.map(part, tree)


class Devices:
    """Places batches and states, and compiles steps, over all devices of all processes.

    Args:
      parallel: `jit` (a one-axis mesh `data`, the default) or `pmap`.
    """

    def __init__(self, parallel: str = "jit"):
        if parallel not in ("jit", "pmap"):
            raise ValueError(f"config.parallel is 'jit' or 'pmap', not {parallel!r}")
        self.parallel = parallel
        self.mesh = Mesh(np.asarray(jax.devices()), (AXIS,))
        self._sharded = NamedSharding(self.mesh, PartitionSpec(AXIS))
        self._replicated = NamedSharding(self.mesh, PartitionSpec())

    @property
    def axis_name(self) -> str | None:
        """Mapped axis that BatchNorm and `gather` must name; None under `jit`."""
        return AXIS if self.parallel == "pmap" else None

    @property
    def shard(self) -> tuple[int, int]:
        """This process and the number of processes."""
        return jax.process_index(), jax.process_count()

    def local_batch_size(self, batch_size: int) -> int:
        """Items a process, of a batch over all of them.

        Raises:
          ValueError: the batch does not divide over the devices.
        """
        if batch_size % jax.device_count():
            raise ValueError(
                f"config.batch_size is {batch_size}, which {jax.device_count()} devices do not "
                "divide evenly"
            )
        return batch_size // jax.process_count()

    def put(self, batch: Batch) -> Batch:
        """A process's part of a batch, spread over the mesh's leading axis."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self._sharded, np.asarray(x)), batch
        )

    def replicate(self, tree: Any) -> Any:
        """A copy of `tree` on every device; equal on every process."""
        # Through the host: the result must own its buffers, as the step gives them away.
        return jax.device_put(jax.tree.map(_to_host, tree), self._replicated)

    def compile_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles `step(state, batch, key) -> (state, log)`; `state` is donated.

        The batch is the process's own part, on the host.
        """
        if self.parallel == "jit":
            compiled = jax.jit(step, donate_argnums=0)
            return lambda state, batch, key: compiled(state, self.put(batch), key)
        mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=None)

        def call(state: Any, batch: Batch, key: jax.Array) -> Any:
            local = jax.local_device_count()
            split = jax.tree.map(lambda x: x.reshape(local, len(x) // local, *x.shape[1:]), batch)
            return mapped(state, split, key)

        return call

    def scan_fn(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles `f(variables, aux, batch)` for evaluation over the mesh, results on the host.

        Every process gets the results of the whole batch.
        """

        def call(variables: Any, aux: Any, batch: Batch) -> Any:
            return self.to_host(_call(f, variables, aux, self.put(batch)))

        return call

    def to_host(self, tree: Any) -> Any:
        """Global arrays as NumPy, whole, on every process."""
        if jax.process_count() == 1:
            return jax.tree.map(np.asarray, jax.device_get(tree))
        return multihost_utils.process_allgather(tree, tiled=True)


def _to_host(x: Any) -> Any:
    if jax.dtypes.issubdtype(getattr(x, "dtype", np.float32), jax.dtypes.prng_key):
        return x
    return np.array(x)


@partial(jax.jit, static_argnums=0)
def _call(f: Callable[..., Any], *arguments: Any) -> Any:
    return f(*arguments)
