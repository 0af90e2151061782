"""The only device wrapper: the same pure step under `jit` over a mesh, or under `pmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float

from avloc.types import Batch

AXIS = "data"


def gather(tree: Any, axis_name: str | None) -> Any:
    """The values of the whole batch from this device's part; unchanged under `jit`.

    Losses are computed on gathered outputs, so pairs across devices count under `pmap` too.
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

    A process has the rows of a batch for its own devices, the first process the first rows.

    Args:
      parallel: `jit` (a one-axis mesh `data`, the default) or `pmap`.
      local: use only this process's devices, for work without the others.
    """

    def __init__(self, parallel: str = "jit", *, local: bool = False):
        if parallel not in ("jit", "pmap"):
            raise ValueError(f"config.parallel is 'jit' or 'pmap', not {parallel!r}")
        self.parallel, self.local = parallel, local
        self.mesh = _mesh(local)
        self._sharded = NamedSharding(self.mesh, PartitionSpec(AXIS))
        self._replicated = NamedSharding(self.mesh, PartitionSpec())

    @property
    def axis_name(self) -> str | None:
        """Mapped axis that BatchNorm and `gather` must name; None under `jit`."""
        return AXIS if self.parallel == "pmap" else None

    @property
    def shard(self) -> tuple[int, int]:
        """This process and the number of processes."""
        return (0, 1) if self.local else (jax.process_index(), jax.process_count())

    def require_even(self, batch_size: int, parts: int = 1) -> None:
        """Checks that every device gets equally many items of a training batch.

        Args:
          batch_size: of the whole batch.
          parts: parts of each device's share, `config.accumulate`.

        Raises:
          ValueError: the batch does not divide over the devices, or a device's share into parts.
        """
        count = self.mesh.size
        if batch_size % count:
            raise ValueError(
                f"config.batch_size is {batch_size}, which {count} devices do not divide evenly"
            )
        require_parts(batch_size // count, parts)

    def even(self, batch_size: int) -> int:
        """The next larger batch that divides over the devices, for evaluation."""
        return -(-batch_size // self.mesh.size) * self.mesh.size

    def put(self, batch: Batch) -> Batch:
        """A batch over the devices, from this process's rows of it."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self._sharded, np.asarray(x)), batch
        )

    def whole(self, batch: Batch) -> Batch:
        """The whole batch for every process, from this process's rows of it.

        With several processes, no process has all pictures and sounds: these are on the devices,
        the rest is on the host.
        """
        if self.shard[1] == 1:
            return batch
        placed = self.put(batch)
        names = ("image", "waveform", "log_mel", "features")
        large = {name: getattr(placed, name) for name in names}
        small = placed._replace(**dict.fromkeys(large))
        return to_host(small)._replace(**large)

    def place(self, batch: Batch) -> Batch:
        """A batch over the devices, from one that every process has in full."""
        return jax.tree.map(lambda x: _spread(x, self._sharded), batch)

    def replicate(self, tree: Any) -> Any:
        """A copy of `tree` on every device; equal on every process."""
        # Through the host: the result must own its buffers, because the step donates them.
        return jax.tree.map(lambda x: _spread(_copied(x), self._replicated), tree)

    def compile_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles `step(state, batch, key) -> (state, log)`; `state` is donated.

        The batch is this process's rows of it, on the host.
        """
        if self.parallel == "jit":
            compiled = jax.jit(step, donate_argnums=0)
            return lambda state, batch, key: compiled(state, self.put(batch), key)
        mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=None)

        def call(state: Any, batch: Batch, key: jax.Array) -> Any:
            local = jax.local_device_count()
            split = jax.tree.map(lambda x: x.reshape(local, len(x) // local, *x.shape[1:]), batch)
            return jax.tree.map(self._of_all, mapped(state, split, key))

        return call

    def _of_all(self, x: jax.Array) -> jax.Array:
        """Joins the parts that `pmap` gives each of several processes into one array."""
        if not x.is_fully_addressable or self._replicated.is_fully_addressable:
            return x
        parts = [shard.data for shard in x.addressable_shards]
        return jax.make_array_from_single_device_arrays(x.shape, self._replicated, parts)

    def scan_fn(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles `f(variables, aux, batch)` for evaluation, for a batch on the devices.

        Every process gets the results of the whole batch, on the host.
        """
        return lambda variables, aux, batch: to_host(_call(f, variables, aux, batch))


def over_devices(rows: Float[Array, "N C"]) -> tuple[Float[Array, "M C"], Bool[Array, " M"]]:
    """Rows spread over all devices, padded with zeros.

    Args:
      rows: on the host or one device; the same on every process.

    Returns:
      The rows, and a mask that is False for padding.
    """
    sharded = NamedSharding(_mesh(), PartitionSpec(AXIS))
    rows, real = np.asarray(rows), np.ones(len(rows), bool)
    missing = -len(rows) % sharded.mesh.size
    rows, mask = np.pad(rows, ((0, missing), (0, 0))), np.pad(real, (0, missing))
    return _spread(rows, sharded), _spread(mask, sharded)


def require_parts(size: int, count: int) -> None:
    """Raises ValueError if a device's `size` items do not divide into `count` parts."""
    if count < 1 or size % count:
        raise ValueError(
            f"config.accumulate is {count}, which does not divide the {size} items of a batch on "
            "each device evenly"
        )


def to_host(tree: Any) -> Any:
    """Full arrays as NumPy on every process; all processes must call it."""

    def gathered(x: Any) -> Any:
        if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
            return multihost_utils.process_allgather(x, tiled=True)
        return x

    return jax.tree.map(np.asarray, jax.device_get(jax.tree.map(gathered, tree)))


def _mesh(local: bool = False) -> Mesh:
    devices = jax.local_devices() if local else jax.devices()
    # A TPU numbers its chips by position; here those of one process are grouped.
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.asarray(ordered), (AXIS,))


def _spread(x: Any, sharding: NamedSharding) -> jax.Array:
    """An array that every process has in full."""
    if isinstance(x, jax.Array) and x.sharding == sharding:
        return x
    if sharding.is_fully_addressable or jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.device_put(x, sharding)
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)


def _copied(x: Any) -> Any:
    if jax.dtypes.issubdtype(getattr(x, "dtype", np.float32), jax.dtypes.prng_key):
        return x
    return np.array(x)


@partial(jax.jit, static_argnums=0)
def _call(f: Callable[..., Any], *arguments: Any) -> Any:
    return f(*arguments)
