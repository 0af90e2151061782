"""Which sounds of a batch match which images, and the loss of telling them apart."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from avloc import losses
from avloc.machine.devices import gather, local_part
from avloc.models import Embeddings, pairwise_cosine
from avloc.models.heads import EXACT
from avloc.training.microbatches import in_microbatches
from avloc.types import Batch


def mix_sounds(
    batch: Batch, share: Float[Array, ""] | float, axis_name: str | None
) -> tuple[Batch, Float[Array, "B B"]]:
    """Some sounds of a batch averaged with the next one's, and what clips each sound holds.

    Not in the papers of CSOL, whose networks hear one source at a time until stage two, and are
    then too sure of the louder one; IEr trains on mixtures too (IEr 3.2).

    Args:
      batch: single-source clips.
      share: of the sounds that become mixtures; may be traced. With 0 the batch stays as it is.
      axis_name: mapped axis under `pmap`, else None.

    Returns:
      The batch, and a matrix over the whole batch: row j is 1 at the clips that sound j holds.
    """
    waveform, mask = gather((batch.waveform, batch.mask), axis_name)
    size = len(waveform)
    count = jnp.round(share * size).astype(jnp.int32)
    mixed = (jnp.arange(size) < count) & mask & jnp.roll(mask, -1)
    held = jnp.eye(size) + jnp.roll(jnp.eye(size), 1, axis=1) * mixed[:, None]
    if not isinstance(share, float) or share:
        both = (waveform.astype(jnp.int32) + jnp.roll(waveform, -1, axis=0)) // 2
        waveform = jnp.where(mixed[:, None], both, waveform).astype(jnp.int16)
        batch = batch._replace(waveform=local_part(waveform, axis_name))
    return batch, held


def match_loss(
    out: Embeddings,
    batch: Batch,
    held: Float[Array, "B B"],
    spec: ConfigDict,
    axis_name: str | None,
    parts: int = 1,
    negative_side: int = 1,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """`bce * L_bce + info_nce * L_info_nce` over the pairs of a batch, and what to log.

    Image i and sound j are a positive pair where the sound holds clip i, and a negative one where
    it holds no clip of that image's video. With `batch.negative` the only negative of a sound is
    the image drawn for it, whose cells follow the batch's own in `out.v`.

    Args:
      out: embeddings of this device's part of the batch.
      batch: this device's part.
      held: from `mix_sounds`, or the identity.
      spec: `config.correspondence` or `config.warmup`.
      axis_name: mapped axis under `pmap`, else None.
      parts: into so many the images are cut, as the maps of all pairs take room.
      negative_side: above 1, maps of negative pairs are cut into so many parts a side, and
        `L_bce` counts each (`losses.quarters`).
    """

    def score(cosine: Float[Array, "... h w"]) -> Float[Array, ...]:
        return losses.pool(cosine, spec.pooling, spec.sharpness)

    def cut(cosine: Float[Array, "... h w"]) -> Float[Array, "... cells"] | None:
        if negative_side == 1:
            return None
        return losses.quarters(cosine, negative_side, spec.pooling, spec.sharpness)

    def of_pairs(v: Float[Array, "b h w D"]) -> Any:
        cosine = pairwise_cosine(v, audio)
        return (score(cosine), cut(cosine)), ()

    audio, video, mask = gather((out.a, batch.video, batch.mask), axis_name)
    count, own = len(batch.image), jnp.eye(len(audio), dtype=bool)
    (scores, pieces), _ = in_microbatches(of_pairs, out.v[:count], parts)
    scores, pieces = gather((scores, pieces), axis_name)
    same_video = (video[:, None] == video[None]).astype(held.dtype)
    both = mask[:, None] & mask[None]
    positive = (held.T > 0) & both
    negative = (same_video @ held.T == 0) & both
    if batch.negative is not None:
        drawn = jnp.einsum("bhwd,bd->bhw", out.v[count:], out.a, precision=EXACT)
        # Each sound's pair with its drawn image stands in place of the in-batch negatives.
        scores = jnp.where(own, scores, gather(score(drawn), axis_name)[None])
        if pieces is not None:
            pieces = jnp.broadcast_to(gather(cut(drawn), axis_name)[None], pieces.shape)
        positive, negative = own & both, jnp.roll(own, 1, axis=0) & mask[None]
    terms = {}
    if spec.info_nce:
        terms["info_nce"] = losses.info_nce(scores, positive, negative, spec.temperature)
    if spec.bce:
        logits = None if pieces is None else out.scale * pieces + out.bias
        terms["bce"] = losses.match_bce(out.scale * scores + out.bias, positive, negative, logits)
    loss = sum(getattr(spec, name) * value for name, value in terms.items())
    right = jnp.take_along_axis(positive, scores.argmax(axis=1)[:, None], axis=1)[:, 0]
    log = {
        **terms,
        "retrieval": losses.masked_mean(right.astype(jnp.float32), mask),
        "scale": out.scale,
        "bias": out.bias,
    }
    return loss, log
