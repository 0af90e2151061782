"""Splits made in memory, of the layout that stored ones are read in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from avloc.types import DatasetInfo

COLOURS = np.uint8([[200, 0, 0], [0, 200, 0], [0, 0, 200]])


def make_records(count: int, videos: int = 3, *, size: int = 32, frames: int = 1) -> list[dict]:
    """Item i belongs to video i % videos; its frames have one colour and its sound one pitch.

    `frames` frames an item, each a little brighter than the one before.
    """
    records = []
    for i in range(count):
        video = i % videos
        colour = COLOURS[video % len(COLOURS)]
        time = np.arange(16000) / 16000
        tone = 8000 * np.sin(2 * np.pi * (300 + 400 * video) * time + i)
        records.append(
            {
                "id": f"item{i}".encode(),
                "video": f"video{video}".encode(),
                "second": i,
                "frames": [
                    np.broadcast_to(colour + np.uint8(10 * f), (size, size, 3))
                    for f in range(frames)
                ],
                "waveform": tone.astype(np.int16),
                "objects": {
                    "bbox": [np.float32([0.25, 0.25, 0.75, 0.75])],
                    "label": [np.int32(video)],
                    "sounding": [np.True_],
                    "offscreen": [np.False_],
                    "level_db": [np.float32(0)],
                },
            }
        )
    return records


def make_dataset(**splits: list[dict]) -> SimpleNamespace:
    """What the loop asks of a `Dataset`, over splits in memory."""
    info = DatasetInfo({name: len(split) for name, split in splits.items()}, ("a", "b", "c"))
    return SimpleNamespace(
        info=info,
        source=splits.__getitem__,
        labels=lambda split: np.array([r["objects"]["label"][0] for r in splits[split]]),
    )
