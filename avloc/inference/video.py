"""A model applied to files: a whole video, or an image with a sound."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Int16, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from avloc.data_pipelines.media.opening import VideoError, open_file
from avloc.data_pipelines.media.tracks import LONGEST_GAP
from avloc.data_pipelines.media.video import Clip, VideoInfo, cut, probe
from avloc.data_pipelines.records.features import SAMPLE_RATE
from avloc.inference.analysis import Overlay, Second, analyse
from avloc.inference.localization import draw
from avloc.inference.localizer import Localizer
from avloc.inference.redraw import redraw
from avloc.progress import bar, track


def localize_video(
    model: Localizer,
    path: str | Path,
    out_dir: str | Path,
    *,
    name: str | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Path:
    """Finds what sounds in a video, second by second, and shows it.

    Writes `<name>.localized.mp4`, with the frames, times and sound of the video, and
    `<name>.localization.json`: `seconds` has one entry a second, with the name, score, state and
    boxes of each category. The files appear when both are complete. The video is streamed twice,
    once to analyse four frames a second and once to draw over every frame, so only the maps of
    sounding objects need memory that grows with its length. A damaged video is localized up to the
    last whole second before the damage, and the record says so.

    Args:
      model: what to apply.
      path: the video.
      out_dir: created if missing.
      name: of the files; the video's without its ending if None.
      batch_size: frames analysed at once.
      progress: whether to show progress bars.

    Returns:
      The path of the new video.

    Raises:
      VideoError: a video without pictures or sound, not readable, or without a whole second.
    """
    path, out_dir = Path(path), Path(out_dir)
    about = probe(path)
    if not about.has_audio:
        raise VideoError(f"{path}: no sound track")
    target = out_dir / f"{name or path.stem}.localized.mp4"
    with _folder(out_dir):
        _check_output(model, path, target)
        _localize(model, path, about, target, batch_size, progress)
    return target


def _check_output(model: Localizer, path: Path, target: Path) -> None:
    """Writes the first moments of the output, so that no analysis is lost to what it cannot hold.

    Raises:
      VideoError: it cannot be written.
    """
    names = model.names
    blank = Second(0, np.zeros(len(names)), np.zeros(len(names), bool), {}, ())
    part = target.with_name(f".{target.name}.check")
    try:
        redraw(path, part, Overlay([blank], names, 1.0).draw, until=_CHECKED)
    finally:
        with suppress(OSError):  # it may not have come to be
            part.unlink()


_CHECKED = 0.5  # seconds


def _localize(
    model: Localizer,
    path: Path,
    about: VideoInfo,
    target: Path,
    batch_size: int,
    progress: bool,
) -> None:
    """Analyses a video and writes both files."""
    length = about.duration or 0.0
    clips = _UpToDamage(cut(path, model.image_size), path)
    whole = math.floor(length) or None
    found = track(
        analyse(model, clips, batch_size),
        f"{path.name}: analysing",
        whole,
        "second",
        shown=progress,
    )
    seconds = list(found)
    until = None if clips.damage is None else seconds[-1].second + 1.0
    length = min(length, seconds[-1].second + LONGEST_GAP)  # whatever the header claims
    with _replacing(record_of(target)) as record, _replacing(target) as video:
        seen = {s.second for s in seconds}
        head = {
            "video": path.name,
            **_provenance(model),
            "damage": clips.damage,
            "seconds_skipped": [s for s in range(math.floor(length)) if s not in seen],
        }
        with open(record, "w", encoding="utf-8") as file:
            _write_seconds(file, head, seconds, model.names)
        length = length if until is None else until
        overlay = Overlay(seconds, model.names, length)
        frames = round(length * (about.rate or 0)) or None
        with bar(f"{path.name}: drawing", frames, "frame", shown=progress) as drawn:
            redraw(path, video, overlay.draw, drawn.update, until=until)


def record_of(drawn: Path) -> Path:
    """The record beside a video or picture that was drawn: `band.localization.json`."""
    return drawn.with_suffix("").with_suffix(".localization.json")


class _UpToDamage:
    """The clips of a video that come before its damage.

    Attributes:
      damage: what is wrong with the video, once all clips were taken; None: nothing.
    """

    def __init__(self, clips: Iterable[Clip], path: Path) -> None:
        self.damage: str | None = None
        self._clips, self._path = clips, path

    def __iter__(self) -> Iterator[Clip]:
        some = False
        try:
            for clip in self._clips:
                yield clip
                some = True
        except VideoError as fault:
            if not some:
                raise
            self.damage = str(fault).removeprefix(f"{self._path}: ")


def localize_image(
    model: Localizer, image: str | Path, audio: str | Path, out_dir: str | Path
) -> Path:
    """Finds what sounds in an image, given a sound file; of long sound, its middle second.

    Writes `<name>.localized.png` and `<name>.localization.json`: `classes` has the name, score,
    state and boxes of each category.

    Returns:
      The path of the new picture.

    Raises:
      ValueError: the image or the sound cannot be read.
    """
    image, audio, out_dir = Path(image), Path(audio), Path(out_dir)
    picture = _read_image(image)
    found = model.localize(picture, _read_sound(audio), SAMPLE_RATE)
    record = {
        "image": image.name,
        "audio": audio.name,
        **_provenance(model),
        "classes": _classes(
            found.categories,
            found.scores,
            found.sounding,
            zip(found.boxes, found.box_scores, strict=True),
        ),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{image.stem}.localized.png"
    with _replacing(record_of(target)) as text, _replacing(target) as drawn:
        text.write_text(json.dumps(record, indent=1), encoding="utf-8")
        Image.fromarray(draw(picture, found)).save(drawn, format="PNG")
    return target


def _read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as fault:
        raise ValueError(f"{path}: no such file") from fault
    except (UnidentifiedImageError, OSError, SyntaxError) as fault:
        raise ValueError(f"{path}: not an image that can be read") from fault


def _read_sound(path: Path) -> Int16[np.ndarray, " T"]:
    """A whole sound file, or the sound of a video, mono at the rate of training."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    pieces = []
    try:
        with open_file(path) as container:
            if not container.streams.audio:
                raise ValueError(f"{path}: no sound track")
            for frame in container.decode(audio=0):
                frame.pts = None
                pieces += [p.to_ndarray()[0] for p in resampler.resample(frame)]
            pieces += [p.to_ndarray()[0] for p in resampler.resample(None) if p is not None]
    except VideoError as fault:
        raise ValueError(str(fault).replace("not a video", "not sound")) from fault
    except FFmpegError as fault:
        raise ValueError(f"{path}: not sound that can be read ({fault.strerror})") from fault
    if not pieces:
        raise ValueError(f"{path}: the sound track is empty")
    return np.concatenate(pieces)


def _provenance(model: Localizer) -> dict[str, Any]:
    return {
        "checkpoint": model.checkpoint,
        "digest": model.digest(),
        "threshold": model.threshold,
        "names": list(model.names),
    }


def _classes(
    names: Sequence[str],
    scores: np.ndarray,
    sounding: np.ndarray,
    boxes: Iterable[tuple[np.ndarray, np.ndarray]],
) -> list[dict[str, Any]]:
    """Each category as JSON."""
    return [
        {
            "name": name,
            "score": round(float(score), 4),
            "state": "sounding" if heard else "silent",
            "boxes": [
                {"box": [round(float(x), 4) for x in box], "score": round(float(s), 4)}
                for box, s in zip(*found, strict=True)
            ],
        }
        for name, score, heard, found in zip(names, scores, sounding, boxes, strict=True)
    ]


def _write_seconds(
    file: TextIO, head: dict[str, Any], seconds: Iterable[Second], names: Sequence[str]
) -> None:
    """JSON with one line per second: readable, and never all of it in memory."""
    file.write(json.dumps(head, indent=1)[:-2] + ',\n "seconds": [')
    for i, s in enumerate(seconds):
        entry = {"second": s.second, "classes": _classes(names, s.scores, s.sounding, s.boxes)}
        file.write(("," if i else "") + "\n  " + json.dumps(entry))
    file.write("\n ]\n}\n")


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Creates a folder if it is missing, and removes it again after a failure."""
    new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):  # something is in it
                path.rmdir()
        raise


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to that replaces `path` at the end, and is removed after a failure."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
