"""Mixtures of a batch's sounds, for networks that are to hear several sources at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from avloc.machine.devices import gather, local_part
from avloc.models.heads import EXACT
from avloc.types import Batch

_LEVEL = 0.05  # RMS of a levelled clip, about -26 dB of full scale
_SILENCE = 1e-3  # below this RMS a clip is not raised further: it would be noise


def mixed_sounds(
    batch: Batch,
    labels: Int[Array, " B"],
    share: Float[Array, ""] | float,
    most: Float[Array, ""] | float,
    limit: int,
    gain_db: float,
    levelled: bool,
    key: PRNGKeyArray,
    axis_name: str | None,
    exactly: bool = False,
) -> tuple[Float[Array, "B T"], Float[Array, "B B"]]:
    """This device's sounds, a share of them mixtures, and the clips that every sound holds.

    A mixture is the mean of its clips, each with a random gain; other sounds stay as they are.

    Args:
      batch: this device's part.
      labels: pseudo label of each of its clips.
      share, most, limit, exactly: see `distinct_mixtures`.
      gain_db: clips of a mixture get gains of up to so many dB either way.
      levelled: whether every clip is brought to one level first, so that the gains alone decide
        which one is louder.
      key: of the step.
      axis_name: mapped axis under `pmap`, else None.

    Returns:
      Waveforms in -1..1, and a matrix over the whole batch: row j is 1 at the clips of sound j.
    """
    waveform, labels, mask = gather((batch.waveform, labels, batch.mask), axis_name)
    held_key, gain_key = jax.random.split(key)
    held = distinct_mixtures(labels, mask, share, most, limit, held_key, exactly)
    gains = jax.random.uniform(gain_key, held.shape, minval=-gain_db, maxval=gain_db)
    several = held.sum(axis=1, keepdims=True) > 1
    weights = held * 10 ** (gains / 20) / held.sum(axis=1, keepdims=True)
    weights = jnp.where(several, weights, held)
    sounds = waveform.astype(jnp.float32) / 32768
    if levelled:
        rms = jnp.sqrt(jnp.mean(sounds**2, axis=1, keepdims=True))
        sounds = sounds * (_LEVEL / jnp.maximum(rms, _SILENCE))
    return jnp.matmul(local_part(weights, axis_name), sounds, precision=EXACT), held


def distinct_mixtures(
    labels: Int[Array, " B"],
    mask: Bool[Array, " B"],
    share: Float[Array, ""] | float,
    most: Float[Array, ""] | float,
    limit: int,
    key: PRNGKeyArray,
    exactly: bool = False,
) -> Float[Array, "B B"]:
    """Which clips each sound of a batch holds: its own, and others of other pseudo labels.

    A share of the sounds, drawn at random, are mixtures, each of 2 to `most` clips with labels
    that differ pairwise; where the batch has too few labels, of fewer.

    Args:
      labels: pseudo label of each clip.
      mask: False where the item is padding, which is in no mixture.
      share: of the sounds that are mixtures, 0 to 1; may be traced.
      most: clips of the largest mixture; may be traced.
      limit: the largest value that `most` takes.
      exactly: whether every mixture is of `most` clips.

    Returns:
      Row j is 1 at the clips that sound j holds.
    """
    size = len(labels)
    who, count, *picks = jax.random.split(key, 1 + limit)
    rank = jnp.argsort(jnp.argsort(jax.random.uniform(who, (size,))))
    mixed = (rank < jnp.round(share * size)) & mask
    several = 2 + jnp.floor(jax.random.uniform(count, (size,)) * (most - 1))
    wanted = jnp.where(mixed, most if exactly else several, 1)
    same = labels[:, None] == labels[None]
    held, taken = jnp.eye(size, dtype=bool), same
    for number, pick_key in enumerate(picks, start=2):
        free = ~taken & mask[None]
        place = jnp.argmax(jnp.where(free, jax.random.uniform(pick_key, (size, size)), -1), axis=1)
        more = ((wanted >= number) & free.any(axis=1))[:, None]
        held = held | (jax.nn.one_hot(place, size, dtype=bool) & more)
        taken = taken | (same[place] & more)
    return held.astype(jnp.float32)
