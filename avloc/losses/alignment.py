"""Contrastive alignment of what is seen and heard of each class in each clip (C2F 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_SMALL = 1e-12  # of a squared distance, so that its root has a gradient


class Aligned(NamedTuple):
    """`L_ava` and what to log beside it.

    Attributes:
      loss: `L_ava`.
      positive: mean distance of pairs of one class and one clip. negative: of all other pairs.
    """

    loss: Float[Array, ""]
    positive: Float[Array, ""]
    negative: Float[Array, ""]


def distances(cosine: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
    """Euclidean distances of unit vectors, `sqrt(max(2 - 2 cos, eps))` (C2F eq. 6)."""
    return jnp.sqrt(jnp.maximum(2 - 2 * cosine, _SMALL))


def alignment(
    heard: Float[Array, "B K D"],
    seen: Float[Array, "B K D"],
    valid: Bool[Array, "B K"],
    video: Int[Array, " B"],
    margin: float = 1.4,
    form: str = "sum",
) -> Aligned:
    """`L_ava` over all pairs of a (clip, class) heard with a (clip, class) seen (C2F eq. 7).

    A positive pair, of one clip and one class, counts `D^2`; any other pair `max(margin - D, 0)^2`.
    Unrelated unit vectors are 1.414 apart: with the code's margin of 1.4 the others count next to
    nothing at first, so both mean distances are returned, for the log.

    Args:
      heard: unit vector of each class of each sound.
      seen: of each class of each picture.
      valid: which classes of a clip take part; False for padding. A pair has the product of both.
      video: of each clip; one class in two clips of one video is neither kind of pair.
      margin: the paper's Delta, which it does not give; 1.4 is that of the simplified code.
      form: `sum`, the paper's: over all pairs. `means`, the simplified code's: the mean of the
        positive pairs and the mean of the others, added.

    Raises:
      ValueError: an unknown form.
    """
    size, classes = valid.shape
    cosine = jnp.einsum("imd,jnd->imjn", heard, seen, precision=jax.lax.Precision.HIGHEST)
    apart = distances(cosine)
    both = (valid[:, :, None, None] & valid[None, None]).astype(cosine.dtype)
    same_class = jnp.eye(classes, dtype=bool)[None, :, None]
    same_clip = jnp.eye(size, dtype=bool)[:, None, :, None]
    same_video = (video[:, None] == video)[:, None, :, None]
    positive = both * (same_clip & same_class)
    negative = both * ~(same_video & same_class)
    near = jnp.sum(positive * jnp.square(apart))
    far = jnp.sum(negative * jnp.square(jnp.maximum(margin - apart, 0.0)))
    counts = jnp.maximum(positive.sum(), 1.0), jnp.maximum(negative.sum(), 1.0)
    if form == "means":
        loss = near / counts[0] + far / counts[1]
    elif form == "sum":
        loss = near + far
    else:
        raise ValueError(f"config.stage_two.form is 'sum' or 'means', not {form!r}")
    kinds = zip((positive, negative), counts, strict=True)
    return Aligned(loss, *(jnp.sum(kind * apart) / count for kind, count in kinds))
