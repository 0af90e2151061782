"""A trained run put to use: `avloc localize`, `avloc separate`, `avloc export`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avloc.verbs import next_steps

if TYPE_CHECKING:
    from avloc.inference.inputs import Input
    from avloc.inference.localizer import Localizer


def localize(args: argparse.Namespace) -> None:
    """`avloc localize`."""
    if bool(args.video) == bool(args.image):
        raise ValueError("give either --video PATH, or --image FILE with --audio FILE")
    if args.image and not args.audio:
        raise ValueError("--image needs its sound: add --audio FILE")
    if args.video and args.audio:
        raise ValueError("--audio goes with --image: a video brings its own sound")
    for file in filter(None, (args.image, args.audio)):
        if not Path(file).is_file():
            raise ValueError(f"{file}: no such file")
    from avloc.inference.exported import is_export
    from avloc.inference.inputs import find_inputs

    inputs = find_inputs(args.video or ())
    from avloc.inference.model import load
    from avloc.inference.video import record_of

    model = load(args.workdir, threshold=args.threshold, image_size=args.image_size)
    if args.separate:
        if not inputs:
            raise ValueError("--separate takes the sound of a video apart: give --video PATH")
        _ = model.window  # a model that cannot is refused before the work
    out = Path(args.out)
    if len(inputs) > 1:
        _localize_all(model, inputs, out)
    else:
        _localize_one(model, inputs, args.image, args.audio, out)
    for video in inputs if args.separate else ():
        if record_of(out / video.folder / f"{video.name}.localized.mp4").is_file():
            _separate(model, video.path, out / video.folder, video.name, ())
    if is_export(Path(args.workdir)):
        return
    exported = next_steps.free(Path(f"{args.workdir.rstrip('/')}_exported"))
    next_steps.show(["export", "--checkpoint", args.workdir, "--out", exported])


def _localize_one(
    model: Localizer, inputs: list[Input], image: str | None, audio: str | None, out: Path
) -> None:
    """The one video, or the picture where there is none."""
    from avloc.drawing.table import Table, terminal_width
    from avloc.inference.summary import of_sound, table_of
    from avloc.inference.video import localize_image, localize_video, record_of

    if inputs:
        ((path, folder, name),) = inputs
        drawn = localize_video(model, path, out / folder, name=name)
    else:
        drawn = localize_image(model, image, audio, out)
    record = json.loads(record_of(drawn).read_text(encoding="utf-8"))
    print(f"drawn        {drawn}\nin numbers   {record_of(drawn)}")
    if record.get("damage"):
        print(f"damaged      {path}: {record['damage']}; localized up to there")
    for word, sentence in of_sound(record):
        print(f"{word:<12} {path if inputs else audio}: {sentence}")
    found = table_of(record)
    print(f"\n{found.text(terminal_width()) if isinstance(found, Table) else found}\n")


def _localize_all(model: Localizer, inputs: list[Input], out: Path) -> None:
    """Several videos, those that cannot be used left out.

    Raises:
      ValueError: none can be used.
    """
    from avloc.data_pipelines.media.video import VideoError
    from avloc.drawing.table import terminal_width
    from avloc.inference.summary import of_sound, table_of_all
    from avloc.inference.video import localize_video, record_of
    from avloc.progress import say

    records, skipped = {}, []
    for number, (path, folder, name) in enumerate(inputs, 1):
        say(f"{number}/{len(inputs)} {path}", sys.stderr)
        try:
            drawn = localize_video(model, path, out / folder, name=name)
        except VideoError as fault:
            skipped.append(str(fault))
            say(f"skipped {fault}", sys.stderr)
            continue
        records[str(folder / name)] = json.loads(record_of(drawn).read_text(encoding="utf-8"))
    if not records:
        raise ValueError(f"none of the {len(inputs)} videos can be used: {'; '.join(skipped)}")
    print(f"drawn        {out} ({len(records)} of {len(inputs)} videos)")
    for name, record in records.items():
        if record["damage"]:
            print(f"damaged      {name}: {record['damage']}; localized up to there")
        for word, sentence in of_sound(record):
            print(f"{word:<12} {name}: {sentence}")
    for fault in skipped:
        print(f"skipped      {fault}")
    print(f"\n{table_of_all(records).text(terminal_width())}\n")


def separate(args: argparse.Namespace) -> None:
    """`avloc separate`."""
    if not Path(args.video).is_file():
        raise ValueError(f"{args.video}: no such file")
    from avloc.inference.model import load

    model = load(args.workdir, threshold=args.threshold)
    _separate(model, Path(args.video), Path(args.out), Path(args.video).stem, args.solo)


def _separate(model: Localizer, video: Path, out: Path, name: str, solo: Sequence[str]) -> None:
    """Takes one video apart, and says what was written."""
    from avloc.drawing.table import terminal_width
    from avloc.inference.separation import separate_video
    from avloc.inference.summary import table_of_stems

    made = separate_video(model, video, out, solo=solo, name=name)
    record = json.loads(made.record.read_text(encoding="utf-8"))
    print(f"in numbers   {made.record}")
    if record["damage"]:
        print(f"damaged      {video}: {record['damage']}; taken apart up to there")
    for kind, file in made.solos.items():
        print(f"alone        {kind}: {file}")
    for kind in solo:
        if kind not in made.solos:
            print(f"not heard    {kind}: it sounds in no second of {video}, so no video was made")
    print(f"\n{table_of_stems(record).text(terminal_width())}\n")


def export(args: argparse.Namespace) -> None:
    """`avloc export`."""
    from avloc.inference.export import EXAMPLE, export_model

    folder = export_model(args.checkpoint, args.out)
    print(f"exported     {folder}")
    next_steps.show(f"python {shlex.quote(str(folder / EXAMPLE))}")
