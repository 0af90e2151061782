"""Object representations and the object dictionary of DSOL and CSOL."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def _dilate(mask: Bool[Array, "B h w"]) -> Bool[Array, "B h w"]:
    """Dilation by a plus; cells of the border are reached but do not spread (published code)."""
    inner = mask[:, 1:-1, 1:-1]
    for vertical, horizontal in ((0, 1), (2, 1), (1, 0), (1, 2)):
        around = ((0, 0), (vertical, 2 - vertical), (horizontal, 2 - horizontal))
        mask = mask | jnp.pad(inner, around)
    return mask


def object_representations_mask(
    features: Float[Array, "B h w C"],
    localization: Float[Array, "B h w"],
    threshold: float = 0.05,
    dilated: bool = True,
) -> Float[Array, "B C"]:
    """DSOL's rule: `GAP(f * mask)`, where mask is `l > threshold`, dilated by a 3x3 plus.

    The mean is over all `h w` cells, not over those of the mask.

    Args:
      features: visual feature map f.
      localization: localization map l, 0 to 1.
      threshold: of the localization map.
      dilated: whether the mask is dilated, as the published code does and the paper does not say.
    """
    mask = localization > threshold
    if dilated:
        mask = _dilate(mask)
    return (features * mask[..., None].astype(features.dtype)).mean(axis=(1, 2))


def object_representations_weighted(
    features: Float[Array, "B h w C"], localization: Float[Array, "B h w"]
) -> Float[Array, "B C"]:
    """CSOL eq. 3: `sum(f * l) / sum(l)` over the cells; 0 where l is 0 everywhere.

    Args:
      features: visual feature map f.
      localization: localization map l, 0 to 1.
    """
    weight = localization[..., None]
    total = weight.sum(axis=(1, 2))
    return (features * weight).sum(axis=(1, 2)) / jnp.where(total > 0, total, 1)


def dictionary(
    representations: Float[Array, "N C"], labels: Int[Array, " N"], k: int
) -> Float[Array, "K C"]:
    """Keys d_k: the mean of the unnormalised representations of each cluster.

    Args:
      representations: one row a clip, as the rules above give them.
      labels: cluster of each row; rows with -1 are left out.
      k: number of clusters. A cluster without rows has a key of 0.
    """
    present = (labels >= 0)[:, None]
    segment = jnp.maximum(labels, 0)
    sums = jax.ops.segment_sum(jnp.where(present, representations, 0), segment, k)
    counts = jax.ops.segment_sum(present.astype(representations.dtype), segment, k)
    return sums / jnp.maximum(counts, 1)
