"""The real loader on built data sets, against what a training step on a GPU would need."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from avloc.configs import dsol_music
from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import training_batches
from benchmarks import flops, recordings
from benchmarks.row import Row, in_turn
from benchmarks.step_task import SECOND

BATCH, WORKERS = 32, 2

GPU = "NVIDIA H200"
MFU = 0.35
"""Assumed share of its peak that a training step reaches: the library's aim in bf16."""


class Repeated(Sequence):
    """Repeats a split, so that reading does not end within the measurement.

    Args:
      source: the split.
      count: items.
    """

    def __init__(self, source: Sequence[Any], count: int):
        self._source, self._count = source, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> Any:
        return self._source[int(place) % len(self._source)]


def rows(quick: bool) -> Iterator[Row]:
    """Clips of `toy_orchestra`, and of videos, whose frames are stored with a side of 256."""
    with tempfile.TemporaryDirectory() as folder:
        for name, stored, made in _data_sets(Path(folder), quick):
            yield _row(name, stored, made.source("train"), quick)


def _data_sets(folder: Path, quick: bool) -> Iterator[tuple[str, str, Dataset]]:
    with contextlib.redirect_stdout(sys.stderr):
        toy = registry.build("toy_orchestra/tiny", data_dir=folder / "data")
    yield "toy_orchestra", "frames of 112x112", Dataset(toy)
    if quick:
        return
    videos = folder / "videos"
    videos.mkdir()
    for i in range(4):
        recordings.record(videos / f"{i}.mp4", 10, i)
    with contextlib.redirect_stdout(sys.stderr):
        built = registry.build("video_folder", source=videos, data_dir=folder / "data")
    yield "videos", "frames of 455x256", Dataset(built)


def _row(name: str, stored: str, source: Sequence[Any], quick: bool) -> Row:
    batches, rounds, workers = (1, 2, 0) if quick else (25, 5, WORKERS)
    take = _taker(Repeated(source, BATCH * batches * (rounds + 20)), workers, batches)
    # The first call waits for the workers to start, and removes what they made meanwhile.
    seconds = in_turn({"ours": take}, rounds=rounds)["ours"]
    clips = BATCH * batches
    operations = flops.step_by_hand(dsol_music.get_config(), SECOND)
    wanted = {name: MFU * peak / operations for name, peak in flops.PEAKS[GPU].items()}
    one = clips / sorted(seconds)[len(seconds) // 2] / max(1, workers)
    needed = ", ".join(
        f"{math.ceil(rate / one):,} in {name} ({rate:,.0f} pairs/s)"
        for name, rate in wanted.items()
    )
    return Row(
        f"loader, {workers} workers, {name}",
        "needs of an H200, estimated",
        seconds,
        (clips / wanted["bf16"],) * len(seconds),
        amount=clips,
        unit="clips",
        note=f"{stored}, views of 224x224; a step of {operations / 1e9:.1f} GFLOP a pair at "
        f"{MFU:.0%} of the peak; workers that feed it: {needed}",
    )


def _taker(source: Sequence[Any], workers: int, batches: int) -> Callable[[], None]:
    data = training_batches(
        source,
        image_size=224,
        batch_size=BATCH,
        seed=0,
        threads=4,
        workers=workers,
    )
    iterator = iter(data)

    def take() -> None:
        for _ in range(batches):
            next(iterator)

    return take
