"""What the source files of a data set contain: sound and pictures, content hashes, damage.

Results are kept, so that only new and changed files are read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Collection as Some
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from avloc.data_pipelines.builders.limits import allowed
from avloc.data_pipelines.builders.workers import run
from avloc.data_pipelines.collection import IMAGE_ENDINGS, SOUND_ENDINGS, VIDEO_ENDINGS
from avloc.data_pipelines.media.opening import (
    VideoError,
    open_file,
    picture_stream,
    stated_length,
)
from avloc.data_pipelines.media.pictures import PictureError, read_picture
from avloc.data_pipelines.media.tracks import Damage, sound_of
from avloc.data_pipelines.media.tracks import decode as decoded
from avloc.data_pipelines.media.video import cut, probe
from avloc.data_pipelines.media.waveform import is_silent
from avloc.json_files import parse_json
from avloc.progress import bar
from avloc.whole_files import replacing


@dataclass(frozen=True)
class FileFacts:
    """What is known about a file.

    Attributes:
      bytes: its size.
      changed: modification time, in ns.
      sha256: of its content.
      problem: why it cannot be used in full; None: no problem was found.
      good: usable seconds before the damage; None: all of it.
      decoded: whether all of it was decoded, not just its header and first frame.
      duration: in seconds; None if the file does not say, or has none.
      rate: frames a second on average; None if the file does not say, or has none.
      width: of the upright picture, in pixels; 0: no picture.
      height: of the upright picture, in pixels; 0: no picture.
      rotation: by which a player turns the coded picture, in degrees counterclockwise.
      has_audio: whether there is a sound track.
      silent: seconds in which nothing can be heard; None: not known, as not all was decoded.
      one_channel: seconds whose channels cancel each other; None as there.
    """

    bytes: int
    changed: int
    sha256: str = ""
    problem: str | None = None
    good: float | None = None
    decoded: bool = False
    duration: float | None = None
    rate: float | None = None
    width: int = 0
    height: int = 0
    rotation: int = 0
    has_audio: bool = False
    silent: int | None = None
    one_channel: int | None = None


def inspect(path: Path, *, decode: bool = False, known: FileFacts | None = None) -> FileFacts:
    """Inspects one file.

    Args:
      path: a video, sound or picture, recognized by its extension; other files are only hashed.
      decode: whether to decode all of a video or sound, or just its header and first frame.
      known: an earlier result; used as long as the file is unchanged.
    """
    facts = FileFacts(0, 0, decoded=decode)
    try:
        facts = replace(facts, **_state(path))
        if known is not None and _state(path).items() <= asdict(known).items():
            heard = not known.has_audio or known.silent is not None
            if (known.decoded and heard) or not decode:
                return known
            facts = replace(facts, sha256=known.sha256)
        else:
            with open(path, "rb") as file:
                facts = replace(facts, sha256=hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as fault:  # such as a broken link
        return replace(facts, problem=f"cannot be read ({fault.strerror})", good=0.0)
    ending = path.suffix.lower()[1:]
    if ending in VIDEO_ENDINGS:
        return _video(path, facts, decode)
    if ending in SOUND_ENDINGS:
        return _sound(path, facts, decode)
    return _picture(path, facts) if ending in IMAGE_ENDINGS else facts


def _state(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"bytes": stat.st_size, "changed": stat.st_mtime_ns}


def inspect_all(
    paths: Some[Path],
    notes: Path | None = None,
    *,
    decode: bool = False,
    workers: int | None = None,
) -> dict[Path, FileFacts]:
    """Inspects each file, a few at a time, and shows progress.

    Args:
      paths: files to inspect.
      notes: JSON file with earlier results, which gets the new ones; None: keep nothing.
      decode: see `inspect`.
      workers: threads, or processes if everything is decoded; None: one per core.
    """
    before = _read(notes) if notes else {}
    learnt: dict[Path, FileFacts] = {}
    workers = workers or os.cpu_count() or 1
    look = _in_processes if decode else _in_threads
    try:
        with bar("decoding" if decode else "looking", len(paths), "file") as shown:
            for path, facts in look(sorted(paths), before, workers):
                learnt[path] = facts
                shown.update()
    finally:  # if stopped halfway, the next call continues from here
        if notes:
            _write(notes, before | {str(path): facts for path, facts in learnt.items()})
    return learnt


Found = Iterator[tuple[Path, FileFacts]]


def _in_threads(paths: Sequence[Path], before: Mapping[str, FileFacts], workers: int) -> Found:
    """Threads are enough: reading and hashing release the interpreter's lock."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            known = (before.get(str(path)) for path in paths)
            yield from zip(paths, pool.map(_look, paths, known), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _look(path: Path, known: FileFacts | None) -> FileFacts:
    return inspect(path, known=known)


def _in_processes(paths: Sequence[Path], before: Mapping[str, FileFacts], workers: int) -> Found:
    """Files are decoded in other processes, because a decoder may crash its process."""
    if all((fact := before.get(str(path))) and fact.decoded for path in paths):
        workers = 0  # probably nothing is left to do
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            (path, before.get(str(path)), Path(folder, f"{place}.json"))
            for place, path in enumerate(paths)
        ]
        workers = min(workers, len(jobs))
        for (path, _, target), ended in run(_decode_into, jobs, workers, lambda j: allowed(j[0])):
            if ended:
                facts = FileFacts(**_state(path), problem=ended, good=0.0)
            else:
                facts = FileFacts(**json.loads(target.read_text(encoding="utf-8")))
            yield path, facts


def _decode_into(path: Path, known: FileFacts | None, target: Path) -> None:
    facts = inspect(path, decode=True, known=known)
    target.write_text(json.dumps(asdict(facts)), encoding="utf-8")


def _video(path: Path, facts: FileFacts, decode: bool) -> FileFacts:
    good, clips, silent, one_channel = 0.0, 0, 0, 0
    try:
        info = probe(path)
        facts = replace(
            facts,
            duration=info.duration,
            rate=None if info.rate is None else float(info.rate),
            width=info.width,
            height=info.height,
            rotation=info.rotation,
            has_audio=info.has_audio,
        )
        if decode and info.has_audio:
            for clip in cut(path, _SMALL):
                good = clip.place + 1.0
                clips += 1
                silent += is_silent(clip.waveform)
                one_channel += clip.one_channel
                facts = replace(facts, silent=silent, one_channel=one_channel)
            if silent == clips:
                return replace(facts, problem="nothing can be heard in it", good=0.0)
        elif decode:
            with open_file(path) as container:
                for frame in decoded(container, picture_stream(container, path)):
                    good = max(good, frame.time)
    except VideoError as fault:
        reason = str(fault).removeprefix(f"{path}: ")
        return replace(facts, problem=reason, good=good)
    except Damage:
        return replace(facts, problem=f"damaged at second {int(good)}", good=good)
    return facts


_SMALL = 32  # shorter side of frames when only the decoding matters


def _sound(path: Path, facts: FileFacts, decode: bool) -> FileFacts:
    """Decodes the first piece of a sound file, or all of it."""
    good = 0.0
    try:
        with open_file(path) as container:
            if not container.streams.audio:
                return replace(facts, problem="no sound track", good=0.0)
            facts = replace(facts, duration=stated_length(container))
            for piece in decoded(container, container.streams.audio[0]):
                sound_of(piece, path)
                good = piece.time + piece.samples / piece.sample_rate
                if not decode:
                    break
            if not good:
                return replace(facts, problem="no sound can be decoded", good=0.0)
    except VideoError as fault:
        reason = str(fault).removeprefix(f"{path}: ")
        reason = "not a sound that can be read" if reason.startswith("not a video") else reason
        return replace(facts, problem=reason, good=good)
    except Damage:
        return replace(facts, problem=f"damaged at second {int(good)}", good=good)
    return replace(facts, has_audio=True)


def _picture(path: Path, facts: FileFacts) -> FileFacts:
    try:
        height, width, _ = read_picture(path).shape
    except PictureError as fault:
        return replace(facts, problem=str(fault).removeprefix(f"{path}: "), good=0.0)
    return replace(facts, width=width, height=height)


def _read(notes: Path) -> dict[str, FileFacts]:
    """What an earlier call wrote; empty if that cannot be read."""
    try:
        files = parse_json(notes.read_text(encoding="utf-8"))["files"]
        return {path: FileFacts(**facts) for path, facts in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(notes: Path, files: dict[str, FileFacts]) -> None:
    content = {"files": {path: asdict(facts) for path, facts in files.items()}}
    with replacing(notes) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
