"""The sound of a video taken apart: a WAV file of each kind that sounds, and of what is left."""

from __future__ import annotations

import json
import math
import wave
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int16, UInt8

from avloc.data_pipelines.media.image import evaluation_view
from avloc.data_pipelines.media.tracks import LONGEST_GAP
from avloc.data_pipelines.media.video import cut, probe, sound_of_video
from avloc.data_pipelines.records.features import SAMPLE_RATE
from avloc.inference.analysis import Overlay, Second, analyse
from avloc.inference.localizer import Localizer
from avloc.inference.redraw import redraw
from avloc.inference.stems import level_db, require_known, to_int16
from avloc.inference.video import UpToDamage
from avloc.naming import file_names
from avloc.progress import bar, track
from avloc.separation.overlap import apart
from avloc.whole_files import made_folder, replacing

_REST, _WHOLE = "", None  # keys beside those of kinds


class Separated(NamedTuple):
    """Files that were written.

    Attributes:
      record: `separation.json`.
      stems: of each kind that sounds, by name.
      rest: what is left.
      solos: videos in which one kind is heard alone, by name.
    """

    record: Path
    stems: dict[str, Path]
    rest: Path
    solos: dict[str, Path]


def separate_video(
    model: Localizer,
    path: str | Path,
    out_dir: str | Path,
    *,
    solo: Sequence[str] = (),
    name: str | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Separated:
    """Takes the sound of a video apart by the kinds that sound in it.

    Writes `<name>.KIND.wav` for each kind that sounds in some second, `<name>.rest.wav`, all 16 kHz
    mono and as long as the sound of the video, which they add up to; `<name>.separation.json`, with
    the loudness of each in every second; and for each kind of `solo` a video,
    `<name>.KIND.mp4`, in which it is heard alone. Sound is streamed in windows that overlap by
    half, so memory grows with the length of the video only by what was found in it. A damaged video
    is taken apart up to the last whole second before the damage.

    Args:
      model: of a method that can separate.
      path: the video.
      out_dir: created if missing.
      solo: kinds to make a video of.
      name: of the files; the video's without its ending if None.
      batch_size: frames analysed at once.
      progress: whether to show progress bars.

    Raises:
      ValueError: a method that cannot separate sounds, or a kind that the model does not know.
      VideoError: a video without pictures or sound, not readable, or without a whole second.
    """
    path, out_dir = Path(path), Path(out_dir)
    name = path.stem if name is None else name
    _ = model.window  # a model that cannot is refused before the work
    require_known(model, solo)
    length = probe(path).duration or 0.0
    clips = UpToDamage(cut(path, model.image_size), path)
    whole = math.floor(length) or None
    found = analyse(model, clips, batch_size)
    said = f"{path.name}: analysing"
    seconds = list(track(found, said, whole, "second", shown=progress))
    until = None if clips.damage is None else seconds[-1].second + 1
    kinds = [int(n) for n in np.flatnonzero(np.any([s.sounding for s in seconds], axis=0))]
    names = [*(model.names[n] for n in kinds), _REST]
    called = file_names(["rest", *names[:-1]])
    called = dict(zip(names, [*called[1:], called[0]], strict=True))
    files = {kind: out_dir / f"{name}.{called[kind]}.wav" for kind in names}
    record = out_dir / f"{name}.separation.json"
    with made_folder(out_dir), ExitStack() as stack:
        parts = {kind: stack.enter_context(replacing(file)) for kind, file in files.items()}
        levels = _write_stems(model, path, kinds, parts, until or whole, until, progress)
        text = _record(model, path, clips.damage, seconds, files, levels)
        stack.enter_context(replacing(record)).write_text(text, encoding="utf-8")
        solos: dict[str, Path] = {}
        for kind in [kind for kind in dict.fromkeys(solo) if kind in parts]:
            target = out_dir / f"{name}.{called[kind]}.mp4"
            drawn = stack.enter_context(replacing(target))
            _solo(model, path, seconds, kind, until, parts[kind], drawn)
            solos[kind] = target
    rest = files.pop(_REST)
    return Separated(record, files, rest, solos)


def _write_stems(
    model: Localizer,
    path: Path,
    kinds: Sequence[int],
    files: dict[str, Path],
    whole: int | None,
    until: int | None,
    progress: bool,
) -> dict[str | None, list[float]]:
    """Writes the sounds, and gives the loudness of each, and of the whole, in every second."""
    views, window = _Views(model, path), model.window
    among = np.isin(np.arange(len(model.names)), kinds)
    said = f"{path.name}: separating"
    meters = [_Meter() for _ in range(len(kinds) + 2)]
    with ExitStack() as stack, bar(said, whole, "second", shown=progress) as told:
        tracks = [stack.enter_context(_open(file)) for file in files.values()]

        def pieces() -> Iterator[Float32[np.ndarray, " t"]]:
            for second in islice(sound_of_video(path), until):
                yield second.samples.astype(np.float32) / 32768
                told.update()

        def separate(block: np.ndarray, place: int) -> np.ndarray:
            middle = (place + window // 2) // SAMPLE_RATE
            return model.stems(views.at(middle), to_int16(block), among)[list(kinds)]

        for sound, stems in apart(pieces(), window, separate):
            written = to_int16(stems)
            rest = to_int16(sound - written.astype(np.float32).sum(axis=0) / 32768)
            for out, samples in zip(tracks, [*written, rest], strict=True):
                out.writeframes(samples.astype("<i2").tobytes())
            for meter, samples in zip(meters, [*written, rest, to_int16(sound)], strict=True):
                meter.take(samples)
    return {kind: meter.rest() for kind, meter in zip([*files, _WHOLE], meters, strict=True)}


def _open(file: Path) -> wave.Wave_write:
    out = wave.open(str(file), "wb")  # noqa: SIM115  (the caller's stack closes it)
    out.setnchannels(1)
    out.setsampwidth(2)
    out.setframerate(SAMPLE_RATE)
    return out


class _Views:
    """The picture in the middle of each second of a video, asked for in order of time."""

    def __init__(self, model: Localizer, path: Path) -> None:
        size = model.image_size
        self._clips = iter(UpToDamage(cut(path, size, shares=(0.5,)), path))
        self._size, self._place = size, -1
        self._view = np.zeros((size, size, 3), np.uint8)

    def at(self, second: int) -> UInt8[np.ndarray, "S S 3"]:
        """Of the second, or of the last one before it that has pictures."""
        while self._place < second:
            clip = next(self._clips, None)
            if clip is None:
                break
            self._place = clip.place
            self._view = evaluation_view(clip.frames[0], self._size)
        return self._view


class _Meter:
    """Loudness of a running sound, second by second, in dB."""

    def __init__(self) -> None:
        self._kept = np.zeros(0, np.int16)
        self._levels: list[float] = []

    def take(self, samples: Int16[np.ndarray, " n"]) -> None:
        """More of the sound."""
        self._kept = np.concatenate([self._kept, samples])
        while len(self._kept) >= SAMPLE_RATE:
            self._add(self._kept[:SAMPLE_RATE])
            self._kept = self._kept[SAMPLE_RATE:]

    def rest(self) -> list[float]:
        """Of every second, the last one as long as it is; call it once."""
        if len(self._kept):
            self._add(self._kept)
        return self._levels

    def _add(self, samples: Int16[np.ndarray, " n"]) -> None:
        self._levels.append(round(level_db(samples.astype(np.float32) / 32768), 1))


def _solo(
    model: Localizer,
    path: Path,
    seconds: Sequence[Second],
    kind: str,
    until: int | None,
    sound: Path,
    target: Path,
) -> None:
    """A video with the sound of one kind, in which that kind alone is shown."""
    place = model.names.index(kind)
    only = [
        s._replace(
            maps={n: map for n, map in s.maps.items() if n == place},
            sounding=s.sounding & (np.arange(len(s.sounding)) == place),
        )
        for s in seconds
    ]
    length = min(probe(path).duration or 0.0, seconds[-1].second + LONGEST_GAP)
    draw = Overlay(only, model.names, length if until is None else until).draw
    redraw(path, target, draw, until=until, sound=sound)


def _record(
    model: Localizer,
    path: Path,
    damage: str | None,
    seconds: Sequence[Second],
    files: dict[str, Path],
    levels: dict[str | None, list[float]],
) -> str:
    """The content of `separation.json`."""
    stems: list[dict[str, Any]] = [
        {
            "name": kind,
            "file": file.name,
            "loudness_db": levels[kind],
            "sounding": [s.second for s in seconds if s.sounding[model.names.index(kind)]],
        }
        for kind, file in files.items()
        if kind != _REST
    ]
    whole = {
        "video": path.name,
        "checkpoint": model.checkpoint,
        "digest": model.digest(),
        "threshold": model.threshold,
        "damage": damage,
        "sample_rate": SAMPLE_RATE,
        "loudness_db": levels[_WHOLE],
        "stems": stems,
        "rest": {"file": files[_REST].name, "loudness_db": levels[_REST]},
    }
    return json.dumps(whole, indent=1) + "\n"
