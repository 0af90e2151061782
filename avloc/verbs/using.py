"""A trained run put to use: `avloc localize`, `avloc export`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from avloc.verbs import next_steps


def localize(args: argparse.Namespace) -> None:
    """`avloc localize`."""
    if bool(args.video) == bool(args.image):
        raise ValueError("give either --video FILE, or --image FILE with --audio FILE")
    if args.image and not args.audio:
        raise ValueError("--image needs its sound: add --audio FILE")
    if args.video and args.audio:
        raise ValueError("--audio goes with --image: a video brings its own sound")
    for file in filter(None, (args.video, args.image, args.audio)):
        if not Path(file).is_file():
            raise ValueError(f"{file}: no such file")
    from avloc.inference.model import load
    from avloc.inference.video import localize_image, localize_video

    model = load(args.workdir)
    if args.video:
        target = localize_video(model, args.video, args.out)
    else:
        target = localize_image(model, args.image, args.audio, args.out)
    print(f"drawn        {target}\nin numbers   {target.parent / 'localization.json'}")
    out = next_steps.free(Path(f"{args.workdir.rstrip('/')}_exported"))
    next_steps.show(["export", "--checkpoint", args.workdir, "--out", out])


def export(args: argparse.Namespace) -> None:
    """`avloc export`."""
    from avloc.inference.export import EXAMPLE, export_model

    folder = export_model(args.checkpoint, args.out)
    print(f"exported     {folder}")
    next_steps.show(f"python {shlex.quote(str(folder / EXAMPLE))}")
