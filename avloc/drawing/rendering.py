"""Pictures of what was found: heat maps, outlines and names over an image.

Everything here takes and returns NumPy arrays, so reports, notebooks and videos can share it.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw
from scipy import ndimage

from avloc.drawing.regions import Region, region
from avloc.drawing.tags import INK, Area, font_size, place_tag, tag

_OPACITY, _EDGE = 0.6, 0.3  # of the tint, at the peak of a region and at its edge
_BAND = 3  # cells of the grid on both sides of a region's edge in which its outline runs
_GRID = 360  # heat maps are mixed on a grid of at most this many cells a side, then enlarged

# Close to Okabe and Ito's colours, adjusted so that any two differ by 25 or more in CIE 1976
# delta E, also with any one kind of colour blindness.
_COLOURS = (
    (202, 62, 2),
    (58, 208, 255),
    (248, 255, 44),
    (28, 160, 94),
    (196, 127, 170),
    (11, 96, 202),
    (255, 140, 0),
    (143, 1, 255),
)
_TONES = ((0.55, 0.97), (0.85, 0.78), (0.38, 0.86))  # saturation, value


@lru_cache(maxsize=64)
def _palette(n: int) -> tuple[tuple[int, int, int], ...]:
    colours = list(_COLOURS[:n])
    for i in range(len(_COLOURS), n):
        hue = (0.3 + i * 0.6180339887) % 1
        red, green, blue = colorsys.hsv_to_rgb(hue, *_TONES[i % len(_TONES)])
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colours)


def palette(n: int) -> UInt8[np.ndarray, "n 3"]:
    """Colours of n classes, RGB. Class i has the same colour for any n."""
    return np.array(_palette(n), np.uint8).reshape(n, 3)


def upsample(map: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """A map at `size` = (H, W), bilinear between the centres of cells."""
    image = Image.fromarray(np.asarray(map, np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def draw(
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float[np.ndarray, "h w N"],
    names: Sequence[str],
    *,
    sounding: Bool[np.ndarray, " N"] | Float[np.ndarray, " N"] | None = None,
    scores: Float[np.ndarray, " N"] | None = None,
    boxes: Sequence[Float[np.ndarray, "n 4"]] | None = None,
    truth: Float[np.ndarray, "M 4"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """The image with a tinted, outlined and named region for each sounding source.

    A region is where a map stands out from its own background (`avloc.drawing.regions`): its inside
    is tinted, and its outline is closed at the edges of the picture. One that covers nearly all of
    the picture is not drawn: the label then says "everywhere". The label shows how sure the method
    is, not the tint.

    Args:
      image: RGB.
      maps: of each class over the whole image, 0 to 1. Maps of zeros are not drawn.
      names: of the classes.
      sounding: which classes to draw; all if None. Values between 0 and 1 draw them fainter.
      scores: shown after the names, if given.
      boxes: for each class, boxes to draw in its colour, as `[ymin, xmin, ymax, xmax]` fractions.
      truth: annotated boxes, drawn in dashed white; boxes that are all zero are left out.

    Raises:
      ValueError: the image is not RGB uint8, or the maps and names differ in number.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"image must be [H, W, 3] uint8, not {image.shape} {image.dtype}")
    maps = np.asarray(maps, np.float32)
    if maps.ndim != 3 or maps.shape[-1] != len(names):
        raise ValueError(f"maps must be [h, w, {len(names)}], one per name, not {maps.shape}")
    strength = np.ones(len(names)) if sounding is None else np.asarray(sounding, np.float32)
    shown = [n for n in range(len(names)) if strength[n] > 0 and maps[..., n].max() > 0]

    size = image.shape[:2]
    grid = _grid_size(size)
    fields = {n: _field(maps[..., n], grid) for n in shown}
    placed = {n: field for n, field in fields.items() if not field.region.everywhere}
    canvas = _tint(image, placed, strength)
    width = max(1.5, font_size(*size) / 7)
    for n, field in placed.items():
        _outline(canvas, field, _palette(len(names))[n], width, strength[n])
    if truth is not None:
        for box in np.asarray(truth):
            rectangle(canvas, box, (255, 255, 255), round(width), dashed=True)
    for n in shown if boxes is not None else ():
        for box in boxes[n]:
            rectangle(canvas, box, _palette(len(names))[n], round(width))
    taken: list[Area] = []
    for n, field in fields.items():
        text = names[n] if scores is None else f"{names[n]}  {scores[n]:.2f}"
        text += "  everywhere" if field.region.everywhere else ""
        label = tag(text, _palette(len(names))[n], font_size(*size))
        place_tag(canvas, label, _place(field), strength[n], taken)
    return np.array(canvas)


def _grid_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _GRID / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


class _Field(NamedTuple):
    """A map on the grid.

    Attributes:
      share: of its maximum, the bilinear creases of the cells smoothed.
      region: where it is high.
    """

    share: np.ndarray
    region: Region


def _field(map: np.ndarray, grid: tuple[int, int]) -> _Field:
    cells = np.array(grid) / np.array(map.shape)
    smooth = ndimage.gaussian_filter(upsample(map, grid), 0.35 * cells, truncate=3)
    share = smooth / max(smooth.max(), 1e-12)
    return _Field(share, region(share, float(cells.prod())))


def _tint(image: np.ndarray, fields: dict[int, _Field], strength: np.ndarray) -> Image.Image:
    """All regions over the image. Where they overlap, colours mix by how strong each is."""
    canvas = Image.fromarray(image)
    if not fields:
        return canvas
    colours = palette(len(strength)).astype(np.float32)
    weight = {n: min(strength[n], 1.0) * _opacity(field) for n, field in fields.items()}
    total = sum(weight.values())
    # Elsewhere any colour is fine; this one keeps the edges of a region clean.
    mixed = sum((w[..., None] + 1e-6) * colours[n] for n, w in weight.items())
    mixed /= (total + len(weight) * 1e-6)[..., None]
    alpha = np.maximum.reduce(list(weight.values()))
    colour = Image.fromarray(np.uint8(mixed + 0.5)).resize(canvas.size, Image.BILINEAR)
    mask = Image.fromarray(np.uint8(255 * alpha + 0.5)).resize(canvas.size, Image.BILINEAR)
    return Image.composite(colour, canvas, mask)


def _opacity(field: _Field) -> np.ndarray:
    """Of the tint: highest at the peak, lower at the edge of the region, nothing outside."""
    level = field.region.level
    height = np.clip((field.share - level) / max(1 - level, 1e-6), 0, 1)
    height = height * height * (3 - 2 * height)
    return field.region.inside * (_EDGE + (_OPACITY - _EDGE) * height)


def _outline(
    canvas: Image.Image, field: _Field, colour: tuple, width: float, strength: float
) -> None:
    """A smooth closed line round a region, with a dark edge on both sides."""
    (w, h), share, inside = canvas.size, field.share, field.region.inside
    far = 8 * width
    slope = np.hypot(*np.gradient(share)) if min(share.shape) > 1 else np.ones(1)
    # First-order distance to the level set, in pixels of the canvas.
    away = (w / share.shape[1]) * (share - field.region.level) / np.maximum(slope, 1e-4)
    # No line round specks that were dropped and holes that were filled.
    away[ndimage.binary_erosion(inside, iterations=_BAND, border_value=1)] = far
    away[~ndimage.binary_dilation(inside, iterations=_BAND)] = -far
    away = upsample(np.clip(away, -far, far), (h, w))
    # The region ends with the picture, where its line is to be seen whole.
    to_edge = np.minimum(
        np.minimum(np.arange(h), np.arange(h)[::-1])[:, None],
        np.minimum(np.arange(w), np.arange(w)[::-1])[None],
    )
    away = np.abs(np.minimum(away, to_edge - width / 2))
    for ink, reach, opacity in ((INK, width / 2 + 0.8, 0.55), (colour, width / 2, 1.0)):
        alpha = np.clip(reach + 0.5 - away, 0, 1) * (255 * opacity * min(strength, 1.0))
        canvas.paste(ink, mask=Image.fromarray(np.uint8(alpha)))


def _place(field: _Field) -> tuple[float, float, float, float]:
    """The box of the part of a region that holds the peak, in 0..1."""
    if field.region.everywhere:
        return 0.0, 0.0, 1.0, 1.0
    parts, _ = ndimage.label(field.region.inside)
    peak = np.unravel_index(field.share.argmax(), field.share.shape)
    rows, columns = ndimage.find_objects(parts)[parts[peak] - 1]
    h, w = parts.shape
    return rows.start / h, columns.start / w, rows.stop / h, columns.stop / w


def rectangle(
    canvas: Image.Image, box: np.ndarray, colour: tuple, width: int, dashed: bool = False
) -> None:
    """Draws `[ymin, xmin, ymax, xmax]`, in 0..1, with a dark edge; skips a box without area."""
    ymin, xmin, ymax, xmax = (float(v) for v in box)
    if ymax <= ymin or xmax <= xmin:
        return
    w, h = canvas.size
    width = max(1, width)
    left, right = round(xmin * (w - 1)), round(xmax * (w - 1))
    top, bottom = round(ymin * (h - 1)), round(ymax * (h - 1))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((left, top, right, bottom), outline=INK, width=width + (1 if width > 1 else 0))
    if not dashed:
        pen.rectangle((left, top, right, bottom), outline=colour, width=width)
        return
    dash = 5 * width
    for start in range(left, right + 1, 2 * dash):
        stop = min(start + dash, right)
        for y in (top, bottom - width + 1):
            pen.rectangle((start, y, stop, y + width - 1), fill=colour)
    for start in range(top, bottom + 1, 2 * dash):
        stop = min(start + dash, bottom)
        for x in (left, right - width + 1):
            pen.rectangle((x, start, x + width - 1, stop), fill=colour)
