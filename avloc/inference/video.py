"""A model applied to files: a whole video, or an image with a sound."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from avloc.data_pipelines.media.opening import VideoError
from avloc.data_pipelines.media.pictures import read_picture
from avloc.data_pipelines.media.sound_file import middle_second
from avloc.data_pipelines.media.tracks import LONGEST_GAP
from avloc.data_pipelines.media.video import Clip, VideoInfo, cut, probe
from avloc.data_pipelines.media.waveform import is_silent
from avloc.data_pipelines.records.features import SAMPLE_RATE
from avloc.inference.analysis import Overlay, Second, analyse
from avloc.inference.localization import draw
from avloc.inference.localizer import Localizer
from avloc.inference.redraw import redraw
from avloc.progress import bar, track
from avloc.whole_files import made_folder, replacing


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
    with made_folder(out_dir):
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
    clips = UpToDamage(cut(path, model.image_size), path)
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
    with replacing(record_of(target)) as record, replacing(target) as video:
        seen = {s.second for s in seconds}
        head = {
            "video": path.name,
            **_provenance(model),
            "damage": clips.damage,
            "seconds_skipped": [s for s in range(math.floor(length)) if s not in seen],
            "seconds_silent": clips.silent,
            "seconds_one_channel": clips.one_channel,
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


class UpToDamage:
    """The clips of a video that come before its damage.

    Attributes:
      damage: what is wrong with the video, once all clips were taken; None: nothing.
      silent: seconds in which nothing can be heard.
      one_channel: seconds in which channels cancel each other, so that one stands for all.
    """

    def __init__(self, clips: Iterable[Clip], path: Path) -> None:
        self.damage: str | None = None
        self.silent: list[int] = []
        self.one_channel: list[int] = []
        self._clips, self._path = clips, path

    def __iter__(self) -> Iterator[Clip]:
        some = False
        try:
            for clip in self._clips:
                self.silent += [clip.place] * is_silent(clip.waveform)
                self.one_channel += [clip.place] * clip.one_channel
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
    picture, sound = read_picture(image), middle_second(audio)
    found = model.localize(picture, sound.samples, SAMPLE_RATE)
    record = {
        "image": image.name,
        "audio": audio.name,
        **_provenance(model),
        "silent": is_silent(sound.samples),
        "one_channel": sound.one_channel,
        "classes": _classes(
            found.categories,
            found.scores,
            found.sounding,
            zip(found.boxes, found.box_scores, strict=True),
        ),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{image.stem}.localized.png"
    with replacing(record_of(target)) as text, replacing(target) as drawn:
        text.write_text(json.dumps(record, indent=1), encoding="utf-8")
        Image.fromarray(draw(picture, found)).save(drawn, format="PNG")
    return target


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
