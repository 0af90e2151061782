"""A batch that goes through the network in parts, one after the other, and is still one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from avloc.machine.devices import require_parts


def in_microbatches(f: Callable[[Any], tuple[Any, Any]], batch: Any, count: int) -> tuple[Any, Any]:
    """`f(batch)`, with the memory of one of `count` parts of the batch.

    The backward pass computes each part again and adds up the gradients of what `f` closes over, so
    a loss over all pairs of the results has the gradient that it has over the undivided batch, as
    in gradient caching (Gao et al. 2021, "Scaling deep contrastive learning batch size under
    memory limited setup"). What `f` takes over the items of a part, such as the statistics of
    BatchNorm, is the part's own.

    Item i is in part `i % count`: over several devices each part lies on all of them, and has the
    items that it has on one.

    Args:
      f: from a part to what it gives for each item (scalars are means over parts) and, second,
        what it gives for the part as a whole.
      batch: a pytree of arrays whose first axis is the batch.
      count: number of parts, `config.accumulate`; 1 calls `f` alone.

    Returns:
      The results for the items, in their order, and the mean of the results for the parts.

    Raises:
      ValueError: the batch does not divide into so many parts.
    """
    if count == 1:
        return f(batch)
    (size,) = {len(x) for x in jax.tree.leaves(batch)}
    require_parts(size, count)
    parts = jax.tree.map(
        lambda x: x.reshape(size // count, count, *x.shape[1:]).swapaxes(0, 1), batch
    )
    # A scan keeps no two parts at once: common results need no guard.
    items, wholes = jax.lax.map(jax.checkpoint(f, prevent_cse=False), parts)

    def join(x: jax.Array) -> jax.Array:
        if x.ndim == 1:
            return x.mean(axis=0)
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    return jax.tree.map(join, items), jax.tree.map(lambda x: jnp.mean(x, axis=0), wholes)
