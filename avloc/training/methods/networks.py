"""The network that a config describes, and its application to a training batch."""

from __future__ import annotations

from typing import Any, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from avloc.data_pipelines.media.audio import spectrogram
from avloc.data_pipelines.media.image import normalize
from avloc.models import AudioVisualNet, Embeddings
from avloc.models.backbones import audio_backbone, visual_backbone
from avloc.training.microbatches import in_microbatches
from avloc.types import Batch, DatasetInfo, Variables

Net = TypeVar("Net", bound=AudioVisualNet)

# What `config.precision` makes convolutions and dense layers compute in.
PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make_network(
    kind: type[Net], config: ConfigDict, info: DatasetInfo, axis_name: str | None, **fields: Any
) -> Net:
    """The network that `config.model` describes.

    Args:
      kind: `AudioVisualNet`, or one made from it.
      config: the experiment's.
      info: of the data set.
      axis_name: mapped axis under `pmap`, else None.
      fields: what `kind` has besides.

    Raises:
      ValueError: `config.precision`, a backbone or a name in `config.model.frozen` is unknown, or
        the data set's sounds have another sample rate than the audio backbone takes.
    """
    model, precision = config.model, config.precision
    if precision not in PRECISIONS:
        raise ValueError(
            f"config.precision is {' or '.join(map(repr, PRECISIONS))}, not {precision!r}"
        )
    if unknown := set(model.frozen) - {"visual", "audio"}:
        raise ValueError(
            f"config.model.frozen names 'visual', 'audio' or both, not {sorted(unknown)}"
        )
    common = {"axis_name": axis_name, "dtype": PRECISIONS[precision], "remat": config.remat}
    visual, audio = visual_backbone(model, **common), audio_backbone(model, **common)
    if audio.front_end.sample_rate != info.sample_rate:
        raise ValueError(
            f"config.model.audio, {model.audio!r}, takes sound at {audio.front_end.sample_rate} "
            f"Hz, but the data set has it at {info.sample_rate} Hz: choose another backbone"
        )
    return kind(
        clusters=config.clusters,
        visual=visual,
        audio=audio,
        frozen=tuple(model.frozen),
        standardized=model.standardized,
        embedding=model.embedding,
        correspondence_scale=model.correspondence_scale,
        correspondence_bias=model.correspondence_bias,
        visual_layers=model.visual_layers,
        dtype=PRECISIONS[precision],
        **fields,
    )


def inputs(
    net: AudioVisualNet, batch: Batch
) -> tuple[Float[Array, "B H W 3"], Float[Array, "B T F 1"]]:
    """What the backbones of a network take, made of a batch."""
    return picture_input(net, batch), sound_input(net, batch)


def picture_input(net: AudioVisualNet, batch: Batch) -> Float[Array, "B H W c"]:
    """What the visual backbone of a network takes, or its maps, where the batch has these."""
    if batch.features is not None:
        return batch.features
    return normalize(_all_images(batch), net.visual.scaling)


def sound_input(net: AudioVisualNet, batch: Batch) -> Float[Array, "B T F 1"]:
    """What the audio backbone of a network takes, made of a batch."""
    return spectrogram(batch, net.audio.front_end)


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
            *inputs(net, part),
            *modes,
            method=method,
            mutable=["batch_stats"],
        )
        return _by_item(out, len(part.image)), new.get("batch_stats", {})

    out, stats = in_microbatches(forward, batch, parts)
    return _by_place(out), stats


def own_images(out: Embeddings, batch: Batch) -> Embeddings:
    """The embeddings without those of drawn negatives."""
    return out._replace(f=out.f[: len(batch.image)], v=out.v[: len(batch.image)])


def _all_images(batch: Batch) -> UInt8[Array, "S H W 3"]:
    """The batch's own images and, where negatives are drawn, those behind them."""
    if batch.negative is None:
        return batch.image
    return jnp.concatenate([batch.image, batch.negative])


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
