"""The network that a config describes, and its application to a training batch."""

from __future__ import annotations

from typing import Any, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from avloc.data_pipelines.media.audio import spectrogram
from avloc.data_pipelines.media.image import normalize
from avloc.models import AudioVisualNet, Embeddings
from avloc.training.microbatches import in_microbatches
from avloc.types import Batch, Variables

Net = TypeVar("Net", bound=AudioVisualNet)

# What `config.precision` makes convolutions and dense layers compute in.
PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make_network(kind: type[Net], config: ConfigDict, axis_name: str | None, **fields: Any) -> Net:
    """A network of `config.model`'s size.

    Args:
      kind: `AudioVisualNet`, or one made from it.
      config: the experiment's.
      axis_name: mapped axis under `pmap`, else None.
      fields: what `kind` has besides.

    Raises:
      ValueError: `config.precision` is unknown.
    """
    model, precision = config.model, config.precision
    if precision not in PRECISIONS:
        raise ValueError(
            f"config.precision is {' or '.join(map(repr, PRECISIONS))}, not {precision!r}"
        )
    return kind(
        clusters=config.clusters,
        width=model.width,
        blocks=tuple(model.blocks),
        stem_pool=model.stem_pool,
        embedding=model.embedding,
        correspondence_scale=model.correspondence_scale,
        correspondence_bias=model.correspondence_bias,
        axis_name=axis_name,
        dtype=PRECISIONS[precision],
        remat=config.remat,
        **fields,
    )


def train_forward(
    net: AudioVisualNet,
    variables: Variables,
    batch: Batch,
    parts: int,
    modes: tuple[bool, ...] = (True,),
    method: str = "__call__",
) -> tuple[Embeddings, Variables]:
    """Embeddings of a training batch and the new statistics.

    Args:
      net: the network.
      variables: its variables.
      batch: this device's part; the waveforms may be mixtures. The embeddings `f` and `v` of drawn
        negatives stand behind those of the batch's own images.
      parts: `config.accumulate`.
      modes: arguments of `method` behind picture and sound.
      method: of the network.
    """

    def forward(part: Batch) -> tuple[Embeddings, Variables]:
        out, new = net.apply(
            variables,
            _all_images(part),
            spectrogram(part),
            *modes,
            method=method,
            mutable=["batch_stats"],
        )
        return _by_item(out, len(part.image)), new["batch_stats"]

    out, stats = in_microbatches(forward, batch, parts)
    return _by_place(out), stats


def own_images(out: Embeddings, batch: Batch) -> Embeddings:
    """The embeddings without those of drawn negatives."""
    return out._replace(f=out.f[: len(batch.image)], v=out.v[: len(batch.image)])


def _all_images(batch: Batch) -> Float[Array, "S H W 3"]:
    """The batch's own images and, where negatives are drawn, those behind them."""
    if batch.negative is None:
        return normalize(batch.image)
    return normalize(jnp.concatenate([batch.image, batch.negative]))


def _by_item(out: Embeddings, size: int) -> Embeddings:
    """With `f` and `v` as [B, images of an item, h, w, C], so that parts can be put together."""

    def each(x: Array) -> Array:
        return x.reshape(-1, size, *x.shape[1:]).swapaxes(0, 1)

    return out._replace(f=each(out.f), v=each(out.v))


def _by_place(out: Embeddings) -> Embeddings:
    """The inverse of `_by_item`: first the own images of all items, then the drawn ones."""

    def each(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    return out._replace(f=each(out.f), v=each(out.v))
