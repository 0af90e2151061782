"""Decoded clips of recordings, kept on disk while a data set is being built.

One zip file per recording, written under a temporary name and then renamed, so a file that exists
is complete. It holds the frames as JPEG and the sound as `.npy`, and `report.json`.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int16, UInt8
from PIL import Image

from avloc.data_pipelines.builders import workers
from avloc.data_pipelines.builders.limits import allowed
from avloc.data_pipelines.collection import Recording, digest, file_state
from avloc.data_pipelines.media.opening import VideoError, real_length
from avloc.data_pipelines.media.video import QUARTERS, Clip, cut, cut_at
from avloc.data_pipelines.media.waveform import is_silent
from avloc.data_pipelines.records.features import encode_frame
from avloc.progress import bar
from avloc.whole_files import replacing

_LAYOUT = 2
"""Of the files; those of another layout, left by a stopped build, are not read."""

SHORT_SIDE = 256
"""Frames of clips are scaled down to this shorter side, in pixels."""


class Cutting(NamedTuple):
    """How recordings are cut.

    Attributes:
      seconds: length of a clip.
      shares: where its frames lie, as shares of it; annotated moments have their own.
      side: frames whose shorter side is longer are scaled down to it, in pixels.
    """

    seconds: int = 1
    shares: tuple[float, ...] = QUARTERS
    side: int = SHORT_SIDE


class StoredClips(NamedTuple):
    """A recording's clips on disk.

    Attributes:
      file: the zip file.
      clips: indices of those that it holds: among the whole clips of the stretch, from 0, or among
        `Recording.moments`.
      late: how many seconds the first frame of each is later than requested.
      problem: why the recording gave no clips, or none after some second; None if all is well.
      silent: those in which nothing can be heard. They are among `clips` only where moments are
        annotated: a clip of silence that is said to sound would teach nothing true.
      one_channel: those whose channels cancel each other, so that one stands for all.
      length: of the file, in seconds; None if it is not one that its name calls a part.
    """

    file: Path
    clips: tuple[int, ...]
    late: tuple[float, ...]
    problem: str | None
    silent: tuple[int, ...] = ()
    one_channel: tuple[int, ...] = ()
    length: float | None = None

    def with_silent(self, clips: Iterable[int]) -> StoredClips:
        """The same, with these of `silent` among `clips`; `late` is not kept."""
        return self._replace(clips=tuple(sorted({*self.clips, *clips})), late=())

    def frames(self, clip: int) -> list[io.BytesIO]:
        """The frames of a clip, encoded."""
        archive, frames = _archive(self.file), []
        while (name := f"{clip}/{len(frames)}.jpg") in archive.NameToInfo:
            frames.append(io.BytesIO(archive.read(name)))
        return frames

    def frame(self, clip: int) -> UInt8[np.ndarray, "H W 3"]:
        """The middle frame of a clip."""
        frames = self.frames(clip)
        return np.asarray(Image.open(frames[len(frames) // 2], formats=["JPEG"]))

    def waveform(self, clip: int) -> Int16[np.ndarray, " T"]:
        """The sound of a clip."""
        data = _archive(self.file).read(f"{clip}/sound.npy")
        return np.load(io.BytesIO(data), allow_pickle=False)


@lru_cache(maxsize=32)
def _archive(file: Path) -> zipfile.ZipFile:
    """An open file; opening one reads its whole table of contents."""
    return zipfile.ZipFile(file)


class ClipStore:
    """The folder in which clips are kept.

    Args:
      folder: created if missing.
      cutting: fields of `Cutting`.
    """

    def __init__(self, folder: Path, **cutting: Any):
        self._folder, self._cutting = folder, Cutting(**cutting)

    def fill(self, recordings: Iterable[Recording], processes: int) -> None:
        """Decodes those whose file exists, unless an earlier, interrupted call already did.

        Args:
          recordings: those without a file are skipped.
          processes: number of processes that decode; 0 decodes in this one.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._clear_up()
        wanted = {self._target(r): r for r in recordings if r.path is not None}
        jobs = [(r, self._cutting, path) for path, r in wanted.items() if not path.exists()]
        done = len(wanted) - len(jobs)
        try:
            with bar("decoding", len(wanted), "video", done) as shown:
                for (recording, _, target), ended in workers.run(store, jobs, processes, _seconds):
                    if ended:  # report it, keep the rest
                        with _written(target) as archive:
                            _report(archive, [], ended)
                    shown.note(recording.path.name)
                    shown.update()
        finally:
            self._clear_up()

    def _clear_up(self) -> None:
        """Removes what processes that were killed left."""
        for left_over in self._folder.glob("*.part"):
            left_over.unlink(missing_ok=True)

    def load(self, recording: Recording) -> StoredClips:
        """What `fill` stored for a recording that has a file."""
        target = self._target(recording)
        with zipfile.ZipFile(target) as archive:
            report = json.loads(archive.read("report.json"))
        silent, problem = tuple(report["silent"]), report["problem"]
        kept = [
            (clip, late)
            for clip, late in zip(report["clips"], report["late"], strict=True)
            if recording.moments is not None or clip not in silent
        ]
        if silent and not kept:
            problem = problem or "nothing can be heard in it"
        clips, late = zip(*kept, strict=True) if kept else ((), ())
        one_channel, length = tuple(report["one_channel"]), report["length"]
        return StoredClips(target, clips, late, problem, silent, one_channel, length)

    def discard(self) -> None:
        """Removes the folder."""
        _archive.cache_clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _target(self, recording: Recording) -> Path:
        """The file of a recording; its name changes with the video and the wanted part."""
        files = [file_state(path) for path in (recording.path, recording.sound) if path]
        moments = recording.moments and [(m.start, m.time) for m in recording.moments]
        part = (recording.start, recording.length, moments, recording.part)
        wanted = (*part, self._cutting, _LAYOUT)
        return self._folder / f"{digest(repr((files, wanted)))}.zip"


def store_of(builder: tfds.core.DatasetBuilder, **cutting: Any) -> ClipStore:
    """Where decoded clips are kept while a data set is being built; fields of `Cutting`."""
    folder = Path(builder.data_dir_root, builder.name, builder.builder_config.name, ".clips")
    return ClipStore(folder, **cutting)


def listed(files: Sequence[tuple[str, str | None]], most: int = 20) -> str:
    """A short list of files and what is wrong with them (None: nothing)."""
    shown = ", ".join(name if why is None else f"{name} ({why})" for name, why in files[:most])
    return shown + (f" and {len(files) - most} more" if len(files) > most else "")


def store(recording: Recording, cutting: Cutting, target: Path) -> None:
    """Decodes a recording into the file `target`. A bad one leaves a report and no clips."""
    clips, silent, problem, length = [], [], None, None
    with _written(target) as archive:
        try:
            if recording.part:
                length = real_length(recording.path)
            for clip in _clips(recording, cutting, length):
                for i, frame in enumerate(clip.frames):
                    archive.writestr(f"{clip.place}/{i}.jpg", encode_frame(frame).getvalue())
                buffer = io.BytesIO()
                np.save(buffer, clip.waveform, allow_pickle=False)
                archive.writestr(f"{clip.place}/sound.npy", buffer.getvalue())
                silent += [clip.place] * is_silent(clip.waveform)
                clips.append(clip._replace(frames=None, waveform=None))
        except VideoError as error:
            problem = str(error).removeprefix(f"{recording.path}: ")
        _report(archive, clips, problem, silent, length)


def _seconds(job: tuple[Recording, Cutting, Path]) -> float:
    """How long a recording may take."""
    return allowed(job[0].path, job[0].sound)


def _clips(recording: Recording, cutting: Cutting, length: float | None) -> Iterator[Clip]:
    """Those that certainly lie in the wanted part, if the file has that length."""
    unsure = recording.part.unsure(length, cutting.seconds) if recording.part else 0
    if recording.moments is None or not unsure:
        for clip in _all_clips(recording, cutting):
            if recording.moments is not None or clip.place >= unsure:
                yield clip


def _all_clips(recording: Recording, cutting: Cutting) -> Iterator[Clip]:
    seconds, shares, side = cutting
    if recording.moments is not None:
        moments = [(moment.start, moment.time) for moment in recording.moments]
        return cut_at(recording.path, moments, side, seconds=seconds, sound=recording.sound)
    return cut(
        recording.path,
        side,
        seconds=seconds,
        start=recording.start,
        length=recording.length,
        sound=recording.sound,
        shares=shares,
    )


@contextlib.contextmanager
def _written(target: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file that gets its final name once it is complete."""
    with replacing(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        yield archive


def _report(
    archive: zipfile.ZipFile,
    clips: Iterable[Clip],
    problem: str | None,
    silent: Sequence[int] = (),
    length: float | None = None,
) -> None:
    clips = sorted(clips, key=lambda clip: clip.place)
    report = {
        "clips": [clip.place for clip in clips],
        "late": [float(clip.late[0]) for clip in clips],
        "problem": problem,
        "silent": sorted(silent),
        "one_channel": [clip.place for clip in clips if clip.one_channel],
        "length": length,
    }
    archive.writestr("report.json", json.dumps(report))
