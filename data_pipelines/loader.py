"""From a stored split to batches: shuffle, shard by host, view, pad, mask, batch, prefetch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, SupportsIndex

import grain
import numpy as np
from absl import flags

from avloc.data_pipelines.media.audio_views import AS_IT_IS, SoundViews, training_sound
from avloc.data_pipelines.media.image import boxes_in_crop, evaluation_view, training_view
from avloc.data_pipelines.records.stored_maps import StoredMaps
from avloc.types import Batch, DatasetInfo

MAX_OBJECTS = DatasetInfo.max_objects
"""Object slots of an item unless its data set needs more."""

_BLANK = np.zeros((1, 1, 3), np.uint8)


class _Indexed:
    """A data source whose records know their index in it."""

    def __init__(self, source: Sequence[Any]):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> tuple[int, Any]:
        return int(index), self._source[index]

    def __repr__(self) -> str:  # Grain checks it when an iterator's state is restored
        return f"Indexed({len(self)})"


def video_number(name: str | bytes) -> int:
    """The number by which a batch knows a video (`Batch.video`)."""
    raw = name.encode() if isinstance(name, str) else name
    return zlib.crc32(raw) & 0x7FFFFFFF


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
        video=np.int32(video_number(record["video"])),
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
    sound: SoundViews = AS_IT_IS,
    following: Sequence[int] = (),
    maps: StoredMaps | None = None,
    slots: int = MAX_OBJECTS,
    shard: tuple[int, int] = (0, 1),
    threads: int = 4,
    workers: int = 0,
) -> grain.IterDataset:
    """One shuffled pass over a split, in batches; the tail is dropped.

    The batches and every random view in them depend on `seed` alone, whatever the number of
    processes, threads and workers. With several processes, each one gets its own rows of every
    batch, the first process the first rows. Boxes are those of the stored frame, not of the
    augmented view: training does not read them. An iterator's state is the same on every process.

    Args:
      source: data source of the split.
      image_size: side of the square view, in pixels.
      batch_size: items of a batch, all processes together.
      seed: give each epoch its own.
      zoom_out: share of views that are shrunk, see `training_view`.
      draw_negatives: whether `Batch.negative` holds an image of another video.
      sound: random views of the waveforms.
      following: of each item, the one whose sound goes on where its own ends, or -1
        (`Dataset.following`); for `sound.offset`.
      maps: of views of each item, one of which stands in place of the picture; `image_size` and
        `zoom_out` are then those that the maps were made with.
      slots: object slots of each item: `DatasetInfo.max_objects`.
      shard: this process and the number of processes.
      threads: threads of this process that read and decode; each makes a batch.
      workers: extra processes that do so instead.

    Raises:
      ValueError: the split holds fewer items than a batch, or the processes do not divide one.
    """
    videos = _video_names(source) if draw_negatives else None

    def view(entry: tuple[int, Any], rng: np.random.Generator) -> Batch:
        index, record = entry
        if maps is None:
            image = training_view(_frame(record, rng), image_size, rng, zoom_out=zoom_out)
            item = _item(index, record, image, slots)
        else:
            item = _item(index, record, _BLANK, slots)
            item = item._replace(features=maps.map(index, int(rng.integers(maps.views))))
        if sound.any() and item.log_mel is None:
            after = following[index] if len(following) else -1
            more = source[int(after)]["waveform"] if after >= 0 else item.waveform[:0]
            item = item._replace(waveform=training_sound(item.waveform, more, sound, rng))
        if videos is None:
            return item
        others = np.flatnonzero(videos != videos[index])
        other = source[int(rng.choice(others))]
        negative = training_view(_frame(other, rng), image_size, rng, zoom_out=zoom_out)
        return item._replace(negative=negative)

    if len(source) < batch_size:
        raise ValueError(
            f"the split holds {len(source)} items, fewer than a batch of {batch_size}: lower "
            "--config.batch_size, or add data"
        )
    process, count = shard
    rows = rows_of(batch_size, count)
    whole = len(source) // batch_size * batch_size
    data = grain.MapDataset.source(_Indexed(source)).seed(seed).shuffle()[:whole]
    data = (
        data.random_map(view)
        .batch(rows, batch_fn=_stack)[process::count]
        .to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(4, threads))
        )
    )
    if workers:
        # Grain's processes read absl's flags, which only absl's own programs parse.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        data = data.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=workers))
    return data


def rows_of(batch_size: int, processes: int) -> int:
    """Number of rows of a batch for each process.

    Raises:
      ValueError: the batch does not divide evenly.
    """
    if batch_size % processes:
        raise ValueError(
            f"a batch of {batch_size} does not divide evenly over {processes} processes: change "
            "--config.batch_size"
        )
    return batch_size // processes


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
    centre_crop: bool = False,
    maps: StoredMaps | None = None,
    slots: int = MAX_OBJECTS,
    shard: tuple[int, int] = (0, 1),
    threads: int = 4,
) -> grain.IterDataset:
    """Every item once, in order, in full batches: the last ones are padded with `mask` False.

    With several processes, each one gets its own rows of every batch, as in training.
    Arguments as in `training_batches`; `image_size` may be a height and a width, and with
    `centre_crop` pictures and boxes are of the middle of frames (`evaluation_view`).
    """
    process, count = shard
    rows = rows_of(batch_size, count)
    batches = -(-len(source) // batch_size)

    class Padded(_Indexed):
        def __len__(self) -> int:
            return batches * rows

        def __getitem__(self, place: SupportsIndex) -> Batch:
            batch, row = divmod(int(place), rows)
            index = batch * batch_size + process * rows + row
            real = index < len(self._source)
            record = self._source[index if real else 0]
            place = index if real else 0
            if maps is None:
                frame = _frame(record, None)
                image = evaluation_view(frame, image_size, centre_crop=centre_crop)
                item = _item(place, record, image, slots)
                if centre_crop:
                    item = item._replace(boxes=boxes_in_crop(item.boxes))
            else:
                item = _item(place, record, _BLANK, slots)._replace(features=maps.map(place, 0))
            return item._replace(mask=np.bool_(real))

    data = grain.MapDataset.source(Padded(source)).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * rows)
    )
    return data.batch(rows, batch_fn=_stack)


def view_batches(
    source: Sequence[Any],
    *,
    image_size: tuple[int, int],
    batch_size: int,
    views: int,
    seed: int,
    zoom_out: float = 0.0,
    first: int = 0,
    threads: int = 4,
) -> grain.IterDataset:
    """Pictures to store maps of: views 0 to `views - 1` of the first item, then of the next.

    Full batches `[B, H, W, 3]`; the last one is padded with its last picture.

    Args:
      source: data source of the split.
      image_size: height and width of the views; random ones are square.
      batch_size: pictures of a batch.
      views: random ones of each item, each of its own seed; 0: one, that of evaluation.
      seed: of the views.
      zoom_out: see `training_batches`.
      first: place of the first picture among all `views * len(source)`.
      threads: that read and decode.
    """
    last = max(1, views) * len(source) - 1

    class Views:
        def __len__(self) -> int:
            return -(-(last + 1 - first) // batch_size) * batch_size

        def __getitem__(self, place: SupportsIndex) -> np.ndarray:
            item, view = divmod(min(first + int(place), last), max(1, views))
            record = source[item]
            if not views:
                return evaluation_view(_frame(record, None), image_size)
            rng = np.random.default_rng((seed, item, view))
            return training_view(_frame(record, rng), image_size[0], rng, zoom_out=zoom_out)

    data = grain.MapDataset.source(Views()).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * batch_size)
    )
    return data.batch(batch_size, batch_fn=np.stack)
