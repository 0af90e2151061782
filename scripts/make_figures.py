"""Makes the figure of docs/how_it_works.md from a trained run: `method.png`.

Command: `python scripts/make_figures.py --workdir runs/demo --data-dir runs/data`. The scene is not
picked by hand: it lies an eighth into the split of test scenes. `--scene` names another.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from scipy import ndimage

from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.data_pipelines.media.audio import log_mel
from avloc.drawing import rendering, tags
from avloc.drawing.regions import region
from avloc.training.loading import LoadedRun, load_run
from avloc.types import Batch

MOST_BYTES = 300_000
"""Largest size of a picture file."""

PAPER, TEXT, DIM = (255, 255, 255), (29, 33, 38), (93, 102, 112)
SIDE, TILE, GAP = 236, 88, 14


class Scene(NamedTuple):
    """A scene of the test split, and everything that the network computes from it.

    Attributes:
      image: as stored.
      item: as annotated.
      spectrogram: log-mel of the mixture.
      localization: the map l.
      objects: the maps m_k (CSOL eq. 7).
      sources: the products s_k (CSOL eq. 8).
      maps: of categories (CSOL eq. 13).
      scores: of categories.
      objects_in: categories of the scene's objects; empty if categories have no names.
    """

    image: UInt8[np.ndarray, "H W 3"]
    item: Batch
    spectrogram: Float[np.ndarray, "T M"]
    localization: Float[np.ndarray, "h w"]
    objects: Float[np.ndarray, "h w K"]
    sources: Float[np.ndarray, "h w K"]
    maps: Float[np.ndarray, "h w N"]
    scores: Float[np.ndarray, " N"]
    objects_in: list[int]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the figure and prints its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="folder of a finished CSOL run")
    parser.add_argument("--data-dir", help="folder of its data set")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    parser.add_argument("--scene", type=int, help="index in the split of test scenes")
    args = parser.parse_args(argv)
    try:
        run = load_run(args.workdir)
        dataset = Dataset(registry.open_dataset(run.config.data.name, args.data_dir))
        picture = method(run, scene_at(run, dataset, args.scene))
        args.out.mkdir(parents=True, exist_ok=True)
        save(picture, args.out / "method.png")
        print(args.out / "method.png")
    except ValueError as error:
        print(f"make_figures: {error}", file=sys.stderr)
        return 2
    return 0


def scene_at(run: LoadedRun, dataset: Dataset, place: int | None) -> Scene:
    """The scene at this index of the split of test scenes; an eighth into it if None."""
    source = dataset.source(run.config.data.scene_tests[0])
    place = len(source) // 8 if place is None else place
    if not 0 <= place < len(source):
        raise ValueError(f"there is no scene {place}: the split holds {len(source)}")
    record = source[place]
    size = run.config.image_size
    batch = next(iter(evaluation_batches([record], image_size=size, batch_size=1, threads=0)))
    found = run.method.predict(run.variables, run.aux, batch)
    out = run.method._forward(run.variables, batch)
    everywhere = np.ones(found.localization.shape, np.float32)
    parts = (
        np.asarray(log_mel(batch.waveform))[..., 0],
        np.asarray(found.localization),
        np.asarray(run.method._source_maps(out.f, everywhere, run.variables, run.aux)),
        np.asarray(run.method._source_maps(out.f, found.localization, run.variables, run.aux)),
        run.categories.merge(np.asarray(found.maps)),
        run.categories.strongest(np.asarray(found.scores)),
    )
    item = Batch(*(None if x is None else x[0] for x in batch))
    names = dataset.info.class_names
    labels = [int(n) for n in item.labels if n >= 0]
    return Scene(
        record["frames"][len(record["frames"]) // 2],
        item,
        *(part[0] for part in parts),
        objects_in=labels if names == run.categories.names else [],
    )


def found(run: LoadedRun, scene: Scene) -> UInt8[np.ndarray, "SIDE SIDE 3"]:
    """Sounding objects coloured and named, the rest dark, true boxes in dashed white."""
    sounding = scene.scores >= run.config.inference.sounding
    image = np.asarray(_resized(scene.image))
    lit = np.zeros(image.shape[:2], np.float32)
    for n in np.flatnonzero(sounding):
        lit = np.maximum(lit, region(rendering.upsample(scene.maps[..., n], lit.shape)).inside)
    lit = 0.3 + 0.7 * ndimage.gaussian_filter(lit, 3)
    boxes = scene.item.boxes[scene.item.sounding & scene.item.boxes.any(-1)]
    return rendering.draw(
        np.uint8(image * lit[..., None]),
        scene.maps,
        run.categories.names,
        sounding=sounding,
        scores=scene.scores,
        truth=boxes,
    )


def method(run: LoadedRun, scene: Scene) -> Image.Image:
    """The steps from a scene to its result, from left to right."""
    rows = _clusters(run, scene)
    top, height = 62, len(rows) * (TILE + GAP) - GAP
    heads = (
        ("scene v", "sound a, as log-mel"),
        ("where sound comes from", "l, eq. 1"),
        ("objects", "m_k = d_k f, eq. 7"),
        ("sounding", "s_k = m_k l, eq. 8"),
        ("score", "heard and seen"),
        ("result", "softmax of s_k, eq. 13"),
    )
    widths = (150, 150, TILE + 46, TILE + 46, 130, SIDE)
    lefts = 20 + np.cumsum((0, *(width + 30 for width in widths)))
    canvas = Image.new("RGB", (int(lefts[-1]) - 10, top + height + 20), PAPER)
    pen = ImageDraw.Draw(canvas)
    for (title, formula), x, width in zip(heads, lefts, widths, strict=False):
        pen.text((x + width / 2, 20), title, TEXT, tags.font(15), anchor="mm")
        pen.text((x + width / 2, 40), formula, DIM, tags.font(13), anchor="mm")
    middle = top + height // 2
    for x in lefts[1:-1]:
        pen.line((x - 24, middle, x - 8, middle), DIM, 2)
        pen.polygon(((x - 13, middle - 5), (x - 6, middle), (x - 13, middle + 5)), DIM)

    canvas.paste(_resized(scene.image, 150), (int(lefts[0]), middle - 155))
    sound = _ramp(scene.spectrogram.T[::-1], (255, 255, 255), scene.spectrogram.min())
    canvas.paste(sound.resize((150, 150), Image.Resampling.BILINEAR), (int(lefts[0]), middle + 5))
    place = _ramp(scene.localization, (255, 255, 255)).resize((150, 150), Image.Resampling.NEAREST)
    canvas.paste(place, (int(lefts[1]), middle - 75))
    colours = rendering.palette(len(run.categories.names))
    for column, maps in ((2, scene.objects), (3, scene.sources)):
        largest = maps[..., rows].max()
        for row, k in enumerate(rows):
            colour = colours[run.categories.of_cluster[k]]
            tile = _ramp(maps[..., k], colour, most=largest)
            tile = tile.resize((TILE, TILE), Image.Resampling.NEAREST)
            canvas.paste(tile, (int(lefts[column]) + 23, top + row * (TILE + GAP)))
    for row, k in enumerate(rows):
        n = run.categories.of_cluster[k]
        x, y = int(lefts[4]), top + row * (TILE + GAP) + TILE // 2
        pen.text((x, y - 14), run.categories.names[n], TEXT, tags.font(14), anchor="lm")
        pen.rectangle((x, y, x + 90, y + 12), (235, 237, 240))
        pen.rectangle((x, y, x + 90 * float(scene.scores[n]), y + 12), tuple(map(int, colours[n])))
        pen.text((x + 98, y + 6), f"{scene.scores[n]:.2f}", DIM, tags.font(13), anchor="lm")
    canvas.paste(Image.fromarray(found(run, scene)), (int(lefts[5]), middle - SIDE // 2))
    return canvas


def save(picture: Image.Image, path: Path) -> None:
    """Writes a PNG of at most `MOST_BYTES`, with as many colours as fit.

    Raises:
      ValueError: it does not fit even with few colours.
    """
    smooth, plain = Image.Dither.FLOYDSTEINBERG, Image.Dither.NONE
    for colours, dither in ((256, smooth), (256, plain), (128, plain), (64, plain)):
        # Dithering needs an existing palette.
        palette = picture.quantize(colours, Image.Quantize.MEDIANCUT)
        buffer = io.BytesIO()
        picture.quantize(palette=palette, dither=dither).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MOST_BYTES:
            path.write_bytes(buffer.getvalue())
            return
    raise ValueError(f"{path} would be larger than {MOST_BYTES} bytes: name another --scene")


def _resized(image: UInt8[np.ndarray, "H W 3"], side: int = SIDE) -> Image.Image:
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def _ramp(
    values: Float[np.ndarray, "h w"],
    colour: Sequence[int],
    least: float = 0.0,
    most: float | None = None,
) -> Image.Image:
    """Values as shades from near black to a colour; by default from 0 to their maximum."""
    most = values.max() if most is None else most
    share = np.clip((values - least) / max(most - least, 1e-12), 0, 1)[..., None]
    return Image.fromarray(np.uint8((1 - share) * tags.INK + share * np.asarray(colour)))


def _clusters(run: LoadedRun, scene: Scene) -> list[int]:
    """Clusters to show, four at most: one for each object of the scene, else the strongest."""
    peaks = scene.objects.max(axis=(0, 1))
    ranked = [int(k) for k in np.argsort(-peaks)]
    if scene.objects_in:
        of = run.categories.of_cluster
        ranked = [next(k for k in ranked if of[k] == n) for n in dict.fromkeys(scene.objects_in)]
    return ranked[:4]


if __name__ == "__main__":
    sys.exit(main())
