"""From a stored split to batches: shuffle, shard by host, view, pad, mask, batch, prefetch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, SupportsIndex

import grain
import numpy as np
from absl import flags

from avloc.types import Batch, DatasetInfo
from data_pipelines.image import evaluation_view, training_view

MAX_OBJECTS = DatasetInfo.max_objects
"""Object slots of an item unless its data set needs more."""


class _Indexed:
    """A data source whose records know their place in it."""

    def __init__(self, source: Sequence[Any]):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> tuple[int, Any]:
        return int(index), self._source[index]

    def __repr__(self) -> str:  # Grain checks it when an iterator's state is restored
        return f"Indexed({len(self)})"


def _item(index: int, record: Any, image: np.ndarray, slots: int) -> Batch:
    """One record as a `Batch` without its leading axis."""
    objects = record["objects"]
    count = len(objects["label"])
    if count > slots:
        raise ValueError(f"{record['id'].decode()} has {count} objects; at most {slots} are read")
    boxes = np.zeros((slots, 4), np.float32)
    labels = np.full(slots, -1, np.int32)
    sounding = np.zeros(slots, bool)
    offscreen = np.zeros(slots, bool)
    level_db = np.zeros(slots, np.float32)
    spectrogram = record.get("log_mel")
    boxes[:count] = np.reshape(objects["bbox"], (count, 4))
    labels[:count] = objects["label"]
    sounding[:count] = objects["sounding"]
    offscreen[:count] = objects["offscreen"]
    level_db[:count] = objects["level_db"]
    return Batch(
        image=image,
        waveform=np.asarray(record["waveform"], np.int16),
        index=np.int32(index),
        video=np.int32(zlib.crc32(record["video"]) & 0x7FFFFFFF),
        mask=np.bool_(True),
        boxes=boxes,
        labels=labels,
        sounding=sounding,
        offscreen=offscreen,
        level_db=level_db,
        log_mel=None if spectrogram is None else np.asarray(spectrogram, np.float32),
    )


def _stack(items: Sequence[Batch]) -> Batch:
    return Batch(
        *(None if values[0] is None else np.stack(values) for values in zip(*items, strict=True))
    )


def _frame(record: Any, rng: np.random.Generator | None) -> np.ndarray:
    """A random frame of the clip in training, the middle one in evaluation."""
    frames = record["frames"]
    return frames[len(frames) // 2 if rng is None else rng.integers(len(frames))]


def training_batches(
    source: Sequence[Any],
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    zoom_out: float = 0.0,
    draw_negatives: bool = False,
    slots: int = MAX_OBJECTS,
    shard: tuple[int, int] = (0, 1),
    threads: int = 4,
    workers: int = 0,
) -> grain.IterDataset:
    """One shuffled pass over a split, in batches of `batch_size` a process; the tail is dropped.

    The order and every random view follow from `seed` alone. Boxes are those of the stored frame,
    not of the augmented view: training reads none.

    Args:
      source: data source of the split.
      image_size: side of the square view, in pixels.
      batch_size: items a batch, on this process.
      seed: give each epoch its own.
      zoom_out: share of views that are shrunk, see `training_view`.
      draw_negatives: whether `Batch.negative` holds an image of another video.
      slots: for objects, of each item: `DatasetInfo.max_objects`.
      shard: this process and the number of processes.
      threads: that read and decode, in this process.
      workers: extra processes that do, instead.

    Raises:
      ValueError: the shard holds fewer items than a batch.
    """
    videos = _video_names(source) if draw_negatives else None

    def view(entry: tuple[int, Any], rng: np.random.Generator) -> Batch:
        index, record = entry
        image = training_view(_frame(record, rng), image_size, rng, zoom_out=zoom_out)
        item = _item(index, record, image, slots)
        if videos is None:
            return item
        others = np.flatnonzero(videos != videos[index])
        other = source[int(rng.choice(others))]
        negative = training_view(_frame(other, rng), image_size, rng, zoom_out=zoom_out)
        return item._replace(negative=negative)

    process, count = shard
    items = shard_size(len(source), shard)
    if items < batch_size:
        raise ValueError(
            f"the split holds {items} items for this process, fewer than a batch of "
            f"{batch_size}: lower --config.batch_size, or add data"
        )
    data = grain.MapDataset.source(_Indexed(source)).seed(seed).shuffle()[process::count]
    data = data.random_map(view).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * batch_size)
    )
    data = data.batch(batch_size, drop_remainder=True, batch_fn=_stack)
    if workers:
        # Grain's processes read absl's flags, which only absl's own programs parse.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        data = data.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=workers))
    return data


def shard_size(total: int, shard: tuple[int, int]) -> int:
    """Items that this process, of so many, reads of a split in training."""
    process, count = shard
    return len(range(process, total, count))


def _video_names(source: Sequence[Any]) -> np.ndarray:
    """Name of each item's video."""
    names = np.asarray([source[i]["video"] for i in range(len(source))])
    if len(set(names)) < 2:
        raise ValueError("negatives come from another video, and the split holds one video only")
    return names


def evaluation_batches(
    source: Sequence[Any],
    *,
    image_size: int | tuple[int, int],
    batch_size: int,
    slots: int = MAX_OBJECTS,
    shard: tuple[int, int] = (0, 1),
    threads: int = 4,
) -> grain.IterDataset:
    """Every item once, in order, in full batches: the last ones are padded with `mask` False.

    All processes get equally many batches, so that collective programs stay in step. Arguments as
    in `training_batches`; `image_size` may be a height and a width.
    """
    process, count = shard
    per_process = -(-len(source) // count)
    total = -(-per_process // batch_size) * batch_size

    class Padded(_Indexed):
        def __len__(self) -> int:
            return total

        def __getitem__(self, place: SupportsIndex) -> Batch:
            index = process + int(place) * count
            real = index < len(self._source)
            record = self._source[index if real else 0]
            image = evaluation_view(_frame(record, None), image_size)
            item = _item(index if real else 0, record, image, slots)
            return item._replace(mask=np.bool_(real))

    data = grain.MapDataset.source(Padded(source)).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * batch_size)
    )
    return data.batch(batch_size, batch_fn=_stack)
