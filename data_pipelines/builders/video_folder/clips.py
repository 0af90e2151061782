"""Decoded clips of videos, kept on disk while a data set is being built.

One zip file a video, written under a temporary name and then renamed, so that a file that is
there is complete. It holds the frames as JPEG and the sound as `.npy`, and `report.json`.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16, UInt8
from PIL import Image
from tqdm import tqdm

from data_pipelines.builders.video_folder.folder import Video
from data_pipelines.features import encode_frame
from data_pipelines.video import FRAMES_PER_SECOND, VideoError, cut

SHORT_SIDE = 256
"""Frames are scaled down to this shorter side, in pixels."""


class StoredVideo(NamedTuple):
    """A video's clips on disk.

    Attributes:
      file: the zip file.
      seconds: which seconds of the video it holds.
      problem: why the video gave no clips, or none beyond some second; None if all is well.
    """

    file: Path
    seconds: tuple[int, ...]
    problem: str | None

    def frames(self, second: int) -> list[io.BytesIO]:
        """The frames of a clip, encoded."""
        archive = _archive(self.file)
        return [io.BytesIO(archive.read(f"{second}/{i}.jpg")) for i in range(FRAMES_PER_SECOND)]

    def frame(self, second: int) -> UInt8[np.ndarray, "H W 3"]:
        """The middle frame of a clip."""
        return np.asarray(Image.open(self.frames(second)[FRAMES_PER_SECOND // 2]))

    def waveform(self, second: int) -> Int16[np.ndarray, " 16000"]:
        """The sound of a clip."""
        data = _archive(self.file).read(f"{second}/sound.npy")
        return np.load(io.BytesIO(data), allow_pickle=False)


@lru_cache(maxsize=32)
def _archive(file: Path) -> zipfile.ZipFile:
    """An open file; opening one reads its whole table of contents."""
    return zipfile.ZipFile(file)


def store(path: Path, target: Path) -> None:
    """Decodes a video into the file `target`. A bad video leaves a report and no clips."""
    seconds, problem = [], None
    partial = target.with_suffix(f".{os.getpid()}.part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        try:
            for clip in cut(path, SHORT_SIDE):
                for i, frame in enumerate(clip.frames):
                    archive.writestr(f"{clip.second}/{i}.jpg", encode_frame(frame).getvalue())
                buffer = io.BytesIO()
                np.save(buffer, clip.waveform, allow_pickle=False)
                archive.writestr(f"{clip.second}/sound.npy", buffer.getvalue())
                seconds.append(clip.second)
        except VideoError as error:
            problem = str(error).removeprefix(f"{path}: ")
        archive.writestr("report.json", json.dumps({"seconds": seconds, "problem": problem}))
    partial.replace(target)


def load(target: Path) -> StoredVideo:
    """Opens what `store` wrote."""
    with zipfile.ZipFile(target) as archive:
        report = json.loads(archive.read("report.json"))
    return StoredVideo(target, tuple(report["seconds"]), report["problem"])


def discard(folder: Path) -> None:
    """Removes a folder of stored clips."""
    _archive.cache_clear()
    shutil.rmtree(folder, ignore_errors=True)


def store_all(videos: Sequence[Video], folder: Path, workers: int) -> list[StoredVideo]:
    """The clips of each video, decoded unless an earlier, interrupted call did so already.

    Args:
      videos: what to decode.
      folder: where clips are kept; made if it is not there.
      workers: processes that decode; 0: decode in this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("*.part"):
        left_over.unlink()
    targets = [folder / f"{video.fingerprint()}.zip" for video in videos]
    jobs = [
        (video.path, target)
        for video, target in zip(videos, targets, strict=True)
        if not target.exists()
    ]
    bar = tqdm(total=len(videos), initial=len(videos) - len(jobs), desc="decoding", unit="video")
    with bar:
        run = _here if workers == 0 else _in_processes
        for path, target, crashed in run(jobs, workers):
            if crashed:  # the decoder took its process along: report it, keep the rest
                with zipfile.ZipFile(target, "w") as archive:
                    report = {"seconds": [], "problem": "the decoder crashed on it"}
                    archive.writestr("report.json", json.dumps(report))
            bar.set_postfix_str(path.name, refresh=False)
            bar.update()
    return [load(target) for target in targets]


Job = tuple[Path, Path]


def _here(jobs: Sequence[Job], workers: int = 0) -> Iterator[tuple[Path, Path, bool]]:
    for path, target in jobs:
        store(path, target)
        yield path, target, False


def _in_processes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Path, Path, bool]]:
    """Runs the jobs in processes; says of each whether it killed its process."""
    suspects: list[Job] = []
    with _Pool(min(workers, max(1, len(jobs)))) as pool:
        if not pool.alive():  # a script without a main guard cannot start processes
            yield from _here(jobs)
            return
        futures = {pool.submit(store, *job): job for job in jobs}
        for future in as_completed(futures):
            try:
                future.result()
            except BrokenProcessPool:
                suspects.append(futures[future])
            else:
                yield *futures[future], False
    # One crash breaks the pool for every job that was not done: each goes again, alone.
    for job in suspects:
        with _Pool(1) as pool:
            try:
                pool.submit(store, *job).result()
            except BrokenProcessPool:
                yield *job, True
            else:
                yield *job, False


class _Pool:
    """A process pool whose processes end with the block, and with this process, at once."""

    def __init__(self, workers: int):
        context = multiprocessing.get_context("spawn")  # safe beside JAX's threads
        self._end, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_begin, initargs=(self._end,)
        )

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._lifeline.close()
        self._pool.shutdown(cancel_futures=True)
        self._end.close()

    def submit(self, call: Callable[..., object], *arguments: object) -> Future:
        return self._pool.submit(call, *arguments)

    def alive(self) -> bool:
        try:
            self._pool.submit(os.getpid).result()
        except BrokenProcessPool:
            return False
        return True


def _begin(lifeline: Connection) -> None:
    """Set-up of a process: Ctrl-C is the parent's, and it ends when its lifeline is cut."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        lifeline.poll(None)  # until the parent closes the other end, or dies
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
