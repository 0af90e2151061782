"""Pictures of the toy orchestra: an object on a cluttered ground, with its exact box.

Colours, texture, light, ground, distractors and occluders are drawn from the same distributions
for every category. Two pictures of one `Look` show one object before one ground, moved a little.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFilter

from avloc.data_pipelines.builders.toy_orchestra.figures import (
    FURNITURE,
    INSTRUMENTS,
    Shape,
    Sketch,
)

_SUPERSAMPLING = 2


class Picture(NamedTuple):
    """A finished frame.

    Attributes:
      frame: RGB.
      mask: the whole silhouette of the object, also where an occluder covers it.
      box: `[ymin, xmin, ymax, xmax]`, the tight box of the mask's pixels, in 0..1.
    """

    frame: UInt8[np.ndarray, "S S 3"]
    mask: Bool[np.ndarray, "S S"]
    box: Float[np.ndarray, " 4"]


@dataclass(frozen=True)
class Look:
    """What stays the same from clip to clip of one video. Lengths are fractions of the frame."""

    shapes: list[Shape]
    palette: UInt8[np.ndarray, "4 3"]
    ground: UInt8[np.ndarray, "S S 3"]
    surface: Float[np.ndarray, "S S 1"]
    aspect: float
    angle: float
    side: float
    place: tuple[float, float]
    blur: float
    light: float


def look(label: int, rng: np.random.Generator, size: int) -> Look:
    """An object of the category numbered `label` in `INSTRUMENTS`, and what surrounds it."""
    sketch = Sketch()
    list(INSTRUMENTS.values())[label](sketch, rng)
    # Mostly off centre, so that a box in the middle of the frame says little.
    place = tuple(rng.beta(0.1, 0.1, 2))
    return Look(
        shapes=sketch.shapes,
        palette=_palette(rng),
        ground=_ground(rng, size, place),
        surface=_surface(rng, size),
        aspect=rng.choice([-1, 1]) * np.exp(rng.uniform(-0.2, 0.2)),
        angle=rng.uniform(-20, 20),
        side=rng.uniform(0.58, 0.75),
        place=place,
        blur=max(0.0, rng.uniform(-0.6, 0.9)),
        light=rng.uniform(0.75, 1.2),
    )


def picture(look: Look, rng: np.random.Generator) -> Picture:
    """A picture of the object, moved, turned and scaled a little by `rng`."""
    size = len(look.ground)
    place = np.clip(np.asarray(look.place) + rng.uniform(-0.1, 0.1, 2), 0, 1)
    shapes = _set(
        look.shapes,
        look.aspect,
        look.angle + rng.uniform(-7, 7),
        look.side * rng.uniform(0.94, 1.06),
        place,
    )
    colour, alpha = _paint(shapes, look.palette, size)
    mask = alpha >= 0.5
    light = look.light * rng.uniform(0.92, 1.08)
    canvas = look.ground * (1 - alpha) + colour * look.surface * alpha
    canvas = _occlude(canvas, mask[..., 0], rng) * light
    if look.blur > 0.2:
        image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
        canvas = np.asarray(image.filter(ImageFilter.GaussianBlur(look.blur)), np.float32)
    canvas = canvas + rng.normal(0, rng.uniform(1, 7), (size, size, 1))
    frame = np.clip(canvas, 0, 255).astype(np.uint8)
    return Picture(frame, mask[..., 0], box_of(mask[..., 0]))


def box_of(mask: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, " 4"]:
    """Tight box `[ymin, xmin, ymax, xmax]` of the set pixels, by their outer edges, in 0..1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return np.array(
        [
            rows[0] / height,
            columns[0] / width,
            (rows[-1] + 1) / height,
            (columns[-1] + 1) / width,
        ],
        np.float32,
    )


def _colour(rng: np.random.Generator, value: tuple[float, float]) -> tuple[int, int, int]:
    hue, saturation = rng.uniform(), rng.uniform(0.15, 0.95)
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, rng.uniform(*value)))


def _palette(rng: np.random.Generator) -> UInt8[np.ndarray, "4 3"]:
    shades = [_colour(rng, v) for v in ((0.45, 0.95), (0.35, 0.9), (0.0, 0.25), (0.8, 1.0))]
    palette = np.array(shades, np.uint8)
    return palette[[0, 1, 3, 2]] if rng.random() < 0.25 else palette


def _set(
    shapes: list[Shape], aspect: float, angle: float, side: float, place: np.ndarray
) -> list[Shape]:
    """Shapes turned and scaled so that their box has the side `side` (geometric mean), set at
    `place`: 0, 0 is the top left corner of the frame and 1, 1 the bottom right one."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretch = np.array([aspect, 1 / abs(aspect)])
    turned = [s._replace(points=(s.points * stretch) @ matrix.T) for s in shapes]
    low = np.min([s.points.min(0) - s.width / 2 for s in turned], axis=0)
    high = np.max([s.points.max(0) + s.width / 2 for s in turned], axis=0)
    extent = high - low
    scale = min(side / np.sqrt(extent.prod()), 0.92 / extent.max())
    margin = 0.01
    corner = margin + place * (1 - 2 * margin - extent * scale)
    return [
        s._replace(points=(s.points - low) * scale + corner, width=s.width * scale) for s in turned
    ]


def _paint(
    shapes: list[Shape], palette: UInt8[np.ndarray, "4 3"], size: int
) -> tuple[Float[np.ndarray, "S S 3"], Float[np.ndarray, "S S 1"]]:
    """Colour and coverage of the shapes, set in a frame of side 1."""
    side = size * _SUPERSAMPLING
    layer = Image.new("RGB", (side, side), tuple(palette[0].tolist()))
    cover = Image.new("L", (side, side))
    pen, stencil = ImageDraw.Draw(layer), ImageDraw.Draw(cover)
    for shape in shapes:
        points = (shape.points * side).ravel().tolist()
        fill = tuple(palette[shape.shade].tolist())
        if shape.width:
            width = max(1, round(shape.width * side))
            pen.line(points, fill, width, joint="curve")
            stencil.line(points, 255, width, joint="curve")
        else:
            pen.polygon(points, fill)
            stencil.polygon(points, 255)
    colour = np.asarray(layer.reduce(_SUPERSAMPLING), np.float32)
    alpha = np.asarray(cover.reduce(_SUPERSAMPLING), np.float32)[..., None] / 255
    return colour, alpha


def _noise(rng: np.random.Generator, cells: int, size: int) -> Float[np.ndarray, "S S"]:
    """Smooth noise of about `cells` bumps a side."""
    coarse = Image.fromarray(rng.normal(size=(cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _surface(rng: np.random.Generator, size: int) -> Float[np.ndarray, "S S 1"]:
    """What the colour of the object is multiplied with: texture and a slope of light."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.5) * (x * np.cos(angle) + y * np.sin(angle))
    depth = rng.uniform(0.03, 0.16)
    kind = rng.integers(3)
    if kind == 0:
        grain = np.sin(rng.uniform(60, 110) * (x * np.sin(angle) + y * np.cos(angle)))
    elif kind == 1:
        grain = _noise(rng, int(rng.integers(10, 30)), size)
    else:
        grain = np.sin(x * rng.uniform(50, 90)) * np.sin(y * rng.uniform(50, 90))
    return (1 + slope + depth * grain)[..., None].astype(np.float32)


def _ground(
    rng: np.random.Generator, size: int, place: tuple[float, float]
) -> UInt8[np.ndarray, "S S 3"]:
    """A gradient under smooth noise, lines, blobs and one or two distractors."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (0.5 + 0.6 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)))[..., None]
    first, second = (np.array(_colour(rng, (0.2, 0.95)), np.float32) for _ in range(2))
    canvas = first * ramp + second * (1 - ramp)
    for cells in (3, 9):
        tint = rng.uniform(-1, 1, 3) * rng.uniform(5, 18)
        canvas = canvas + _noise(rng, cells, size)[..., None] * tint
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 5)):
        ends = (rng.uniform(-0.1, 1.1, 4) * size).tolist()
        pen.line(ends, _colour(rng, (0.1, 1.0)), int(rng.integers(1, 4)))
    for _ in range(rng.integers(1, 4)):
        centre, spread = rng.uniform(0, 1, 2), rng.uniform(0.03, 0.14)
        points = (centre + rng.normal(0, spread, (rng.integers(3, 7), 2))) * size
        pen.polygon(points.ravel().tolist(), _colour(rng, (0.2, 0.95)))
    canvas = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    for _ in range(rng.integers(1, 3)):
        canvas = _distract(canvas, rng, place)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _distract(
    canvas: Float[np.ndarray, "S S 3"], rng: np.random.Generator, away: tuple[float, float]
) -> Float[np.ndarray, "S S 3"]:
    """A silent thing drawn on the ground, of two places the one farther from the object."""
    sketch = Sketch()
    FURNITURE[rng.integers(len(FURNITURE))](sketch, rng)
    places = rng.uniform(0, 1, (2, 2))
    place = places[np.argmax(((places - away) ** 2).sum(1))]
    aspect, angle, side = rng.uniform(0.85, 1.2), rng.uniform(-25, 25), rng.uniform(0.18, 0.3)
    shapes = _set(sketch.shapes, aspect, angle, side, place)
    colour, alpha = _paint(shapes, _palette(rng), len(canvas))
    return canvas * (1 - alpha) + colour * alpha


def _occlude(
    canvas: Float[np.ndarray, "S S 3"], mask: Bool[np.ndarray, "S S"], rng: np.random.Generator
) -> Float[np.ndarray, "S S 3"]:
    """Up to two small patches over points of the object."""
    size = len(canvas)
    rows, columns = np.nonzero(mask)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 3)):
        at = rng.integers(len(rows))
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 8)))
        reach = rng.uniform(0.03, 0.085) * size
        points = np.stack([columns[at] + reach * np.cos(angles), rows[at] + reach * np.sin(angles)])
        pen.polygon(points.T.ravel().tolist(), _colour(rng, (0.1, 0.95)))
    return np.asarray(image, np.float32)
