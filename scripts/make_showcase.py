"""Makes the first pictures of README.md from a run: `found.jpg` and `localize.webp`.

Command: `python scripts/make_showcase.py --workdir runs/demo --data-dir runs/data`, after
`avloc evaluate --workdir runs/demo`. `found.jpg` has the best, the median and the worst item of a
test split by the run's own scores, labelled as such; `localize.webp` is what `avloc localize` makes
of `--video`, or of test scenes spread evenly over the split, a second each.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from avloc.data_pipelines import registry
from avloc.data_pipelines.checks.preview import spread
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.data_pipelines.media.image import view_in_proportion
from avloc.drawing import rendering, tags
from avloc.evaluation import protocols
from avloc.evaluation.protocols import Protocol
from avloc.inference.model import Model
from avloc.inference.video import localize_video
from avloc.runs.checkpoints import finished_stages
from avloc.runs.folder import RunFolder
from avloc.training.loading import LoadedRun, load_run
from avloc.types import Batch, Prediction

STILL_BYTES, ANIMATION_BYTES = 300_000, 1_500_000
"""Largest sizes of the files."""

SIDE, GAP = 300, 14
SCENES, SECONDS, RATE, WIDTH = 8, 12, 8, 400
"""Of the animation: scenes, seconds at most, pictures a second, width in pixels."""

PAPER, TEXT, DIM = (255, 255, 255), (29, 33, 38), (93, 102, 112)


class Scored(NamedTuple):
    """An item of the split, and its place among all.

    Attributes:
      rank: best, median or worst.
      score: of it, and what it is called.
      index: in the split.
    """

    rank: str
    score: str
    index: int


def main(argv: Sequence[str] | None = None) -> int:
    """Writes both pictures and prints their paths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="folder of a finished, evaluated run")
    parser.add_argument("--data-dir", help="folder of its data set")
    parser.add_argument("--split", help="default: the config's first split of test scenes")
    parser.add_argument("--video", type=Path, help="to localize; default: test scenes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    args = parser.parse_args(argv)
    try:
        run = load_run(args.workdir)
        dataset = Dataset(registry.open_dataset(run.config.data.name, args.data_dir))
        split = args.split or next(iter(run.config.data.scene_tests))
        args.out.mkdir(parents=True, exist_ok=True)
        picked, count = ranked(RunFolder(args.workdir), run, split)
        save(found(run, dataset, split, picked, count), args.out / "found.jpg")
        print(args.out / "found.jpg")
        animate(run, dataset, split, args.video, args.out / "localize.webp")
        print(args.out / "localize.webp")
    except ValueError as error:
        print(f"make_showcase: {error}", file=sys.stderr)
        return 2
    return 0


def ranked(folder: RunFolder, run: LoadedRun, split: str) -> tuple[list[Scored], int]:
    """The best, the median and the worst item of a split, and how many were scored.

    Of equal scores the first item counts as best or worst.
    """
    protocol = protocol_of(run, split)
    stage = finished_stages(folder, run.method)[-1]
    table = folder.path / "evaluation" / split / protocol.name / stage / "items.csv"
    if not table.is_file():
        raise ValueError(
            f"{table}: no such file; make it by `avloc evaluate --workdir {folder.path}`"
        )
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["not_scored"]]
    column, title = ("iou", "IoU") if protocol.task == "single" else ("ciou", "CIoU")
    items = sorted((float(row[column]), int(row["index"])) for row in rows)
    if not items:
        raise ValueError(f"{table}: no item is scored, so there is no best one")
    best = max(items, key=lambda item: (item[0], -item[1]))
    picks = {"best": best, "median": items[len(items) // 2], "worst": items[0]}
    told = [Scored(rank, f"{title} {score:.2f}", i) for rank, (score, i) in picks.items()]
    return told, len(items)


def protocol_of(run: LoadedRun, split: str) -> Protocol:
    """By which a split is scored, as the config says."""
    chosen = run.config.evaluation
    kind = "single" if split == run.config.data.single_test else "scene"
    return protocols.get(chosen.split_protocols.get(split, chosen[f"{kind}_protocol"]))


def found(
    run: LoadedRun, dataset: Dataset, split: str, picked: Sequence[Scored], count: int
) -> Image.Image:
    """The items side by side, and below what was found in them."""
    source = dataset.source(split)
    records = [source[item.index] for item in picked]
    side, view = run.config.image_size, None
    if run.config.evaluation.keep_aspect:
        view = view_in_proportion(records[0]["frames"][0].shape, side)
    batches = evaluation_batches(
        records,
        image_size=view or side,
        batch_size=len(records),
        slots=dataset.info.max_objects,
        threads=0,
    )
    batch = next(iter(batches))
    predicted = run.method.predict(run.variables, run.aux, batch)
    frames = [_middle(record) for record in records]
    heights = [round(SIDE * frame.shape[0] / frame.shape[1]) for frame in frames]
    left, top, high = 70, 58, max(heights)
    size = (left + len(records) * (SIDE + GAP), top + 2 * (high + GAP))
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    for row, text in enumerate(("given", "found")):
        at = (left // 2, top + row * (high + GAP) + high // 2)
        pen.text(at, text, TEXT, tags.font(16), anchor="mm")
    for i, (item, frame) in enumerate(zip(picked, frames, strict=True)):
        x = left + i * (SIDE + GAP)
        one = Batch(*(None if part is None else part[i] for part in batch))
        image = np.asarray(Image.fromarray(frame).resize((SIDE, heights[i]), Image.BICUBIC))
        of = f" of {count}" if i == 0 else ""
        pen.text((x, 22), f"{item.rank}{of}: {item.score}", TEXT, tags.font(17), anchor="lm")
        pen.text((x, 44), f"sound: {_sounds(one, dataset)}", DIM, tags.font(14), anchor="lm")
        canvas.paste(Image.fromarray(image), (x, top))
        single = protocol_of(run, split).task == "single"
        drawn = _drawn(run, image, one, Prediction(*(np.asarray(p[i]) for p in predicted)), single)
        canvas.paste(Image.fromarray(drawn), (x, top + high + GAP))
    return canvas


def _middle(record: Mapping[str, Any]) -> UInt8[np.ndarray, "H W 3"]:
    return record["frames"][len(record["frames"]) // 2]


def _sounds(item: Batch, dataset: Dataset) -> str:
    names = dataset.info.class_names
    labels = [n for n in item.labels[item.sounding] if 0 <= n < len(names)]
    return " and ".join(names[n] for n in labels) or "not known"


def _drawn(
    run: LoadedRun, image: np.ndarray, item: Batch, made: Prediction, single: bool
) -> UInt8[np.ndarray, "H W 3"]:
    """What was found, with the true boxes of what sounds in dashed white."""
    names = run.categories.names
    if single:  # what is scored is one map, for everything that sounds
        maps = np.zeros((*made.localization.shape, len(names)), np.float32)
        maps[..., run.categories.of_cluster[int(made.cluster)]] = made.localization
        sounding = scores = None
    else:
        maps = run.categories.merge(np.asarray(made.maps, np.float32))
        scores = run.categories.strongest(np.asarray(made.scores, np.float32))
        sounding = scores >= run.config.inference.sounding
    truth = item.boxes[item.sounding & item.boxes.any(-1)]
    return rendering.draw(image, maps, names, sounding=sounding, scores=scores, truth=truth)


def animate(run: LoadedRun, dataset: Dataset, split: str, video: Path | None, path: Path) -> None:
    """Localizes a video, or one of test scenes, and writes the result as an animation."""
    model = Model(*run)
    with tempfile.TemporaryDirectory() as folder:
        if video is None:
            source = dataset.source(split)
            records = [source[int(place)] for place in spread(len(source), SCENES)]
            video = write_scenes(Path(folder) / "scenes.mp4", records)
        localized = localize_video(model, video, Path(folder) / "out", progress=False)
        pictures = read_pictures(localized)
    for quality in (85, 70, 55, 40):
        file = io.BytesIO()
        pictures[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / RATE),
            loop=0,
            quality=quality,
            method=6,
        )
        if file.tell() <= ANIMATION_BYTES:
            path.write_bytes(file.getvalue())
            return
    raise ValueError(f"{path} would be larger than {ANIMATION_BYTES} bytes: take a shorter video")


def read_pictures(video: Path) -> list[Image.Image]:
    """The first seconds of a video, `RATE` pictures a second."""
    pictures, due = [], 0.0
    with av.open(str(video)) as container:
        for frame in takewhile(lambda frame: frame.time < SECONDS, container.decode(video=0)):
            if frame.time >= due - 1e-6:
                height = round(WIDTH * frame.height / frame.width)
                pictures.append(frame.to_image().resize((WIDTH, height), Image.LANCZOS))
                due += 1 / RATE
    return pictures


def write_scenes(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """A video of scenes, a second each, with their sounds."""
    rate, sample_rate = 2 * RATE, len(records[0]["waveform"])
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        pictures.width = pictures.height = 2 * (SIDE // 2)
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=sample_rate, layout="mono")
        for record in records:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(_middle(record)))
            for _ in range(rate):
                container.mux(pictures.encode(frame.reformat(pictures.width, pictures.height)))
        container.mux(pictures.encode())
        wave = np.concatenate([record["waveform"] for record in records])
        for start in range(0, len(wave), 1024):
            part = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "s16", "mono")
            part.sample_rate, part.pts = sample_rate, start
            part.time_base = Fraction(1, sample_rate)
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


def save(picture: Image.Image, path: Path) -> None:
    """Writes a JPEG in full colour of at most `STILL_BYTES`.

    Raises:
      ValueError: it does not fit.
    """
    for quality in (95, 90, 85, 75):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, subsampling=0, optimize=True)
        if file.tell() <= STILL_BYTES:
            path.write_bytes(file.getvalue())
            return
    raise ValueError(f"{path} would be larger than {STILL_BYTES} bytes")


if __name__ == "__main__":
    sys.exit(main())
