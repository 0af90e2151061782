"""Pictures of what was found: heat maps, outlines and names over an image.

Everything here takes and returns NumPy arrays, so reports, notebooks and videos can share it.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

REGION = 0.5
"""A source's region is where its map reaches this share of its own maximum."""

INK = (18, 19, 24)
"""Near black, of edges, labels and backgrounds; RGB."""

_OPACITY = 0.6
_FAINT = 0.25  # share of the maximum below which nothing is tinted: softmax maps never reach 0
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


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that pictures look the same everywhere. `size` is in pixels."""
    return ImageFont.load_default(size=size)


def font_size(height: int, width: int) -> int:
    """Size of lettering, in pixels, that suits a picture of this size."""
    return max(8, round(6 + 0.021 * min(height, width)))


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

    Each map is shown relative to its own maximum; the outline runs at half of it (`REGION`).
    The label shows how sure the method is, not the tint.

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
    fields = {n: _relative(maps[..., n], grid) for n in shown}
    canvas = _tint(image, fields, strength)
    width = max(1.5, font_size(*size) / 7)
    for n, relative in fields.items():
        _outline(canvas, relative, _palette(len(names))[n], width, strength[n])
    if truth is not None:
        for box in np.asarray(truth):
            rectangle(canvas, box, (255, 255, 255), round(width), dashed=True)
    for n in shown if boxes is not None else ():
        for box in boxes[n]:
            rectangle(canvas, box, _palette(len(names))[n], round(width))
    taken: list[tuple[int, int, int, int]] = []
    for n, relative in fields.items():
        text = names[n] if scores is None else f"{names[n]}  {scores[n]:.2f}"
        label = tag(text, _palette(len(names))[n], font_size(*size))
        place_tag(canvas, label, _anchor(relative), strength[n], taken)
    return np.array(canvas)


def _grid_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _GRID / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _relative(map: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The map on the grid as a share of its maximum, its bilinear creases smoothed."""
    cells = np.array(grid) / np.array(map.shape)
    smooth = ndimage.gaussian_filter(upsample(map, grid), 0.35 * cells, truncate=3)
    return smooth / max(smooth.max(), 1e-12)


def _tint(image: np.ndarray, fields: dict[int, np.ndarray], strength: np.ndarray) -> Image.Image:
    """All heat maps over the image. Where they overlap, colours mix by how strong each is."""
    canvas = Image.fromarray(image)
    if not fields:
        return canvas
    colours = palette(len(strength)).astype(np.float32)
    ramp = {n: np.clip((f - _FAINT) / (1 - _FAINT), 0, 1) for n, f in fields.items()}
    weight = {n: strength[n] * r * r * (3 - 2 * r) for n, r in ramp.items()}
    total = sum(weight.values())
    # Elsewhere any colour is fine; this one keeps the edges of a heat map clean.
    mixed = sum((w[..., None] + 1e-6) * colours[n] for n, w in weight.items())
    mixed /= (total + len(weight) * 1e-6)[..., None]
    alpha = _OPACITY * np.maximum.reduce(list(weight.values()))
    colour = Image.fromarray(np.uint8(mixed + 0.5)).resize(canvas.size, Image.BILINEAR)
    mask = Image.fromarray(np.uint8(255 * alpha + 0.5)).resize(canvas.size, Image.BILINEAR)
    return Image.composite(colour, canvas, mask)


def _outline(
    canvas: Image.Image, relative: np.ndarray, colour: tuple, width: float, strength: float
) -> None:
    """A smooth line where `relative` crosses `REGION`, with a dark edge on both sides."""
    scale = canvas.size[0] / relative.shape[1]
    slope = np.hypot(*np.gradient(relative)) if min(relative.shape) > 1 else np.ones(1)
    # First-order distance to the level set, in pixels of the canvas.
    away = np.clip(scale * (relative - REGION) / np.maximum(slope, 1e-4), -8 * width, 8 * width)
    away = np.abs(upsample(away, (canvas.size[1], canvas.size[0])))
    for ink, reach, opacity in ((INK, width / 2 + 0.8, 0.55), (colour, width / 2, 1.0)):
        alpha = np.clip(reach + 0.5 - away, 0, 1) * (255 * opacity * min(strength, 1.0))
        canvas.paste(ink, mask=Image.fromarray(np.uint8(alpha)))


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


@lru_cache(maxsize=256)
def tag(text: str, colour: tuple[int, int, int], size: int) -> Image.Image:
    """A dark tag with a dot of the class's colour and the text in white, RGBA."""
    face = font(size)
    pad, dot = round(0.35 * size), round(0.6 * size)
    width = round(face.getlength(text)) + 3 * pad + dot
    height = round(1.55 * size)
    over = 4  # drawn larger and reduced: Pillow's shapes have hard edges
    made = Image.new("RGBA", (over * width, over * height), (*INK, 0))
    pen = ImageDraw.Draw(made)
    corner = (0, 0, over * width - 1, over * height - 1)
    pen.rounded_rectangle(corner, radius=over * height // 4, fill=(*INK, 205))
    top = over * (height - dot) // 2
    pen.ellipse((over * pad, top, over * (pad + dot), top + over * dot), fill=(*colour, 255))
    made = made.resize((width, height), Image.Resampling.BOX)
    middle = (2 * pad + dot, height / 2)
    ImageDraw.Draw(made).text(middle, text, font=face, fill=(255, 255, 255, 255), anchor="lm")
    return made


def _anchor(relative: np.ndarray) -> tuple[float, float]:
    """Top of the region that holds the maximum, and its middle from left to right: y, x in 0..1."""
    parts, _ = ndimage.label(relative >= REGION)
    peak = np.unravel_index(relative.argmax(), relative.shape)
    rows, columns = ndimage.find_objects(parts)[parts[peak] - 1]
    return rows.start / parts.shape[0], (columns.start + columns.stop) / (2 * parts.shape[1])


def place_tag(
    canvas: Image.Image,
    label: Image.Image,
    anchor: tuple[float, float],
    strength: float,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Paste the label just above its anchor, inside the picture and clear of those `taken`."""
    (w, h), (lw, lh) = canvas.size, label.size
    x = int(np.clip(anchor[1] * w - lw / 2, 0, max(0, w - lw)))
    y = int(np.clip(anchor[0] * h - lh - 2, 0, max(0, h - lh)))

    def free(y: int) -> bool:
        return not any(
            x < r and left < x + lw and y < b and top < y + lh for left, top, r, b in taken
        )

    for step in range(0, h, 2):
        below, above = min(y + step, h - lh), max(y - step, 0)
        if free(below) or free(above):
            y = below if free(below) else above
            break
    taken.append((x, y, x + lw, y + lh))
    mask = label.getchannel("A").point(lambda a: round(a * min(float(strength), 1.0)))
    canvas.paste(label.convert("RGB"), (x, max(0, y)), mask)
