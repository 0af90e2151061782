"""From the sources that a method predicts to the categories that are shown; pure functions."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int16

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.media.waveform import SILENCE


def by_category(
    categories: CategoryMap,
    maps: Float[Array, "B h w K"],
    scores: Float[Array, "B K"],
    waveform: Int16[Array, "B T"],
) -> tuple[Float[Array, "B h w N"], Float[Array, "B N"]]:
    """Maps and scores of categories, 0 to 1, float32.

    Maps of one category's clusters are added up, as in CSOL; its score is that of the surest one
    (`CategoryMap.strongest`). If no sample reaches `SILENCE`, maps and scores are 0.
    """
    maps = jnp.clip(categories.merge(maps.astype(jnp.float32)), 0, 1)
    scores = jnp.clip(categories.strongest(scores.astype(jnp.float32)), 0, 1)
    # A softmax over sources always hears something, so silence is detected in the sound itself.
    peak = jnp.abs(waveform.astype(jnp.float32)).max(axis=1)
    heard = (peak >= SILENCE * 32768)[:, None]
    return jnp.where(heard[..., None, None], maps, 0), jnp.where(heard, scores, 0)
